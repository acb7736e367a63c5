"""``latent-agent calibrate``: which reward, search and width help this model."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.evaluate import Check, Data, Ending, Questions
from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Json, Model, Quiet, built_in_reward
from latent_agent.cli.watching import watching
from latent_agent.errors import SettingError
from latent_agent.model.options import LoadOptions

TIMES = Annotated[
    str, typer.Option(help="Time that a call may take, in times of one plain answer's.")
]


@opens_model
def calibrate(
    model: Model = "bundled",
    data: Data = "bundled:validation",
    out: Annotated[
        Path, typer.Option(help="Folder for what is sampled; what is in it is not done again.")
    ] = Path("calibration"),
    questions: Questions = None,
    budget: TIMES = "3x",
    minutes: Annotated[
        float, typer.Option(help="All of it ends by then, and reports on what there is.")
    ] = 45.0,
    save: Annotated[bool, typer.Option("--save", help="Keep it: recipe 'auto' uses it.")] = False,
    written: Annotated[
        bool, typer.Option("--written", help="Compare the four written checks too: slow.")
    ] = False,
    reward: Annotated[
        list[str] | None, typer.Option(help="One more to compare, module:attribute; several times.")
    ] = None,
    samples: Annotated[int, typer.Option(help="Answers beside the plain one.", min=2)] = 8,
    sampling: Annotated[float, typer.Option(help="Their temperature.", min=0.01)] = 0.7,
    max_tokens: Annotated[
        int, typer.Option(help="Longest answer; a longer one counts as wrong.", min=1)
    ] = 512,
    check: Check = "auto",
    ending: Ending = "",
    rows: Annotated[int, typer.Option(help="Answers that are written at once.", min=1)] = 36,
    opened: LoadOptions = USUAL,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Sample answers to questions with known answers once, and compare what chooses among them.

    Recommends a reward, a search and a width, or the plain answer, where nothing better is shown.
    The same command goes on after a kill, and where --minutes ended it.
    """
    from latent_agent.evaluation.extras import require_extras

    require_extras()
    from latent_agent.evaluation.calibration.report import figures, saved
    from latent_agent.evaluation.calibration.request import CalibrationRequest, times
    from latent_agent.evaluation.calibration.run import calibrate as calibrated
    from latent_agent.model.registry import open_model
    from latent_agent.nights.watch import Watch

    asked = CalibrationRequest(
        model=model, data=data, questions=questions, samples=samples, temperature=sampling,
        max_tokens=max_tokens, ending=ending, check=check, budget=times(budget), minutes=minutes,
        written=written, rewards=_others(reward or [], kept=save), rows=rows, opened=opened,
    )  # fmt: skip
    with watching(quiet=quiet or as_json) as report:
        found = calibrated(asked, out, Watch(report=report, spent=report.spent))
    shown = {**figures(found), "saved": None}
    try:
        if save and (kept := saved(found, open_model(model, None, opened))) is not None:
            shown["saved"] = _kept(kept)
    finally:  # what took so long is told also where it cannot be kept
        text = json.dumps(_plain(shown), indent=1)
        (out / "calibration.json").write_text(text + "\n", "utf-8")
        if as_json:
            typer.echo(json.dumps(_plain(shown)))
        else:
            _show(shown)
    if save and not as_json:
        place = shown["saved"]
        typer.echo(f"Saved: {place}" if place else "Nothing was saved: nothing is recommended.")


def _kept(recipe: Any) -> str:
    from latent_agent.call.recipes.store import save

    return str(save(recipe))


def _others(names: list[str], *, kept: bool) -> dict[str, Any]:
    """Return further rewards by name.

    Raises:
        SettingError: If one is compared anyway, or is none.
        RewardError: If one is to be kept that another process cannot build.
    """
    from latent_agent.reward import as_reward
    from latent_agent.reward.rebuild import reward_from_id

    found: dict[str, Any] = {}
    for name in names:
        made = built_in_reward(name) if ":" in name else None
        if made is None:
            raise SettingError(
                f"reward must be module:attribute, got {name!r}; built-in rewards are compared "
                "anyway, the written checks with --written"
            )
        found[name] = as_reward(made)
        if kept:
            reward_from_id(found[name].id)
    return found


def _plain(value: Any) -> Any:
    """Return a value as JSON knows it: what is no number is null."""
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}  # pyright: ignore
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _show(found: Mapping[str, Any]) -> None:
    console = Console()
    said = [f"{found['answers']} answers to {found['sampled']} of {found['wanted']} questions"]
    if found["late"]:
        said.append(f"{found['minutes']:g} minutes were too short for all of it")
    if found["cut_off"]:
        said.append(f"{found['cut_off']} longer than --max-tokens, which count as wrong")
    console.print("; ".join(said) + ".", highlight=False)
    if found["scored"]:
        _show_rewards(console, found)
    if found["costs"]:
        _show_costs(console, found["costs"])
    if found["searches"]:
        _show_searches(console, found)
    console.print(found["recommendation"], highlight=False)


def _show_rewards(console: Console, found: Mapping[str, Any]) -> None:
    console.print(
        f"On {found['scored']} questions that all rewards scored, the plain answer is right in "
        f"{_share(found['draft'])}, one of the answers in {_share(found['any'])}.",
        highlight=False,
    )
    ranks = Table(title="How rewards rank the answers")
    accepts = Table(
        title="What they accept, beside the truth",
        caption="Thresholds of one half of the questions, seen on the other",
    )
    for table, names in (
        (ranks, ("Reward", "Ranks rightly", "Best of all", "Over the plain answer")),
        (accepts, ("Reward", "Above", "Agrees", "Right", "Wrong", "Tokens", "Seconds")),
    ):
        for place, name in enumerate(names):
            table.add_column(name, justify="right" if place else "left", overflow="fold")
    for name, one in found["rewards"].items():
        gain = one["gain"]["difference"]
        points = f"{100 * gain['mean']:+.1f} [{100 * gain['low']:.1f}, {100 * gain['high']:.1f}]"
        ranks.add_row(name, _share(one["within"]), _share(one["best"]), points)
        known = not math.isnan(one["threshold"])
        accepts.add_row(
            name,
            f"{one['threshold']:.3f}" if known else "none",
            _share(one["agrees"]),
            _whole(one["right"]),
            _whole(one["wrong"]),
            f"{one['tokens']:.0f}",
            f"{one['seconds']:.2f}",
        )
    console.print(ranks)
    console.print(accepts)
    for name, error in found["failed"].items():
        console.print(f"{name} failed for every answer: {error}", highlight=False, markup=False)


def _show_costs(console: Console, costs: Mapping[str, Any]) -> None:
    several = ", ".join(
        f"{width} answers {seconds:.1f} times its time ({tokens:.1f} its tokens)"
        for width, (seconds, tokens) in costs["ratios"].items()
        if width > 1
    )
    console.print(
        f"A plain answer takes {costs['seconds']:.2f} s; {several}: over {costs['questions']} "
        "questions.",
        highlight=False,
    )


def _show_searches(console: Console, found: Mapping[str, Any]) -> None:
    one = found["searches"]
    table = Table(title=f"Of {one['questions']} wrong plain answers, the truth for a judge")
    for place, name in enumerate(("Search", "Put right", "Times", "Tokens")):
        table.add_column(name, justify="right" if place else "left")
    seconds, tokens = found["costs"]["ratios"][one["width"]]
    table.add_row(
        f"{one['width']} samples" if one["width"] > 1 else "no samples fit the budget",
        _share(one["samples"]), f"{seconds:.1f}", f"{tokens:.1f}",
    )  # fmt: skip
    table.add_row(
        f"LatentSeek, {one['rounds']:.1f} rounds", _share(one["latentseek"]),
        f"{one['seconds']:.1f}", f"{one['tokens']:.1f}",
    )  # fmt: skip
    console.print(table)


def _whole(share: float) -> str:
    return "none" if math.isnan(share) else f"{share:.0%}"


def _share(one: Mapping[str, float]) -> str:
    if math.isnan(one["mean"]):
        return "none"
    return f"{one['mean']:.0%} [{100 * one['low']:.0f}, {100 * one['high']:.0f}]"
