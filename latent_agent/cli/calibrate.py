"""``latent-agent calibrate``: how well does this model judge itself; before it is switched on."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.evaluate import (
    AtOnce,
    Check,
    Data,
    Ending,
    Misjudge,
    Out,
    Questions,
    RewardName,
    Sampling,
    Settings,
    given_settings,
)
from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Json, Model, Quiet, Recipe, built_in_reward
from latent_agent.cli.watching import watching
from latent_agent.model.options import LoadOptions


@opens_model
def calibrate(
    model: Model = "bundled",
    data: Data = "bundled:validation",
    out: Out = Path("calibration"),
    questions: Questions = None,
    samples: Annotated[int, typer.Option(help="Answers beside the draft.", min=1)] = 10,
    sampling: Sampling = 1.0,
    check: Check = "auto",
    ending: Ending = "",
    recipe: Recipe = "default",
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer.", min=1)] = None,
    settings: Settings = None,
    reward: RewardName = "self",
    misjudge: Misjudge = 0.0,
    at_once: AtOnce = 8,
    opened: LoadOptions = USUAL,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Sample answers to questions with known answers, let the model judge all, and compare.

    Shows how often the judge is right, check by check, what best-of-N gains with it and would gain
    with the truth, and whether to switch self-reward on. A run that was killed goes on.
    """
    from latent_agent.evaluation.extras import require_extras

    require_extras()
    from latent_agent.evaluation.calibration import calibrate as compared
    from latent_agent.evaluation.run import evaluate
    from latent_agent.evaluation.setup import EvaluationRequest, experiment, written
    from latent_agent.evaluation.specs import Spec
    from latent_agent.nights.watch import Watch

    asked = EvaluationRequest(
        model=model, data=data, questions=questions, check=check, ending=ending, recipe=recipe,
        sampling=sampling, reward=built_in_reward(reward), misjudge=misjudge, opened=opened,
        at_once=at_once,
        settings=given_settings(settings or [], max_iterations=samples, max_tokens=max_tokens),
    )  # fmt: skip
    made = experiment(asked)
    plan = replace(made.plan, specs=[Spec(name="judged-samples")])
    with watching(quiet=quiet or as_json) as report:
        written_settings = written(asked, replace(made, plan=plan))
        finished = evaluate(
            made.bench, plan, out, written_settings, Watch(report=report, spent=report.spent)
        )
    figures = compared(finished.records)
    (out / "calibration.json").write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _show(figures)


def _show(figures: Mapping[str, Any]) -> None:
    table = Table(title=f"{figures['answers']} answers to {figures['questions']} questions, judged")
    table.add_column("Verdict")
    for name in ("Agreement", "Wrong accepted", "Right refused"):
        table.add_column(name, justify="right")
    for name, verdict in (("accepted", figures["verdict"]), *figures["checks"].items()):
        cells = (verdict[one] for one in ("agreement", "false_accepts", "false_refusals"))
        table.add_row(name, *(_share(cell) for cell in cells))
    console = Console()
    console.print(table)
    for name, text in (
        ("draft", "The draft alone"),
        ("by_judge", "Best of the answers by this judge"),
        ("by_truth", "Best of the answers by the truth"),
    ):
        console.print(f"{text}: {_share(figures[name])} right", highlight=False)
    _show_free(console, figures)
    console.print(figures["recommendation"], highlight=False)


def _show_free(console: Console, figures: Mapping[str, Any]) -> None:
    """Show the rewards that cost nothing; thresholds are found on one half, shown on the other."""
    if not figures["rewards"]:
        return
    table = Table(title="Rewards that cost nothing, on the same answers")
    table.add_column("Reward")
    for name in ("Ranks rightly", "Best", "Over the draft", "Right, wrong accepted above"):
        table.add_column(name, justify="right")
    for name, one in figures["rewards"].items():
        gain = one["gain"]["difference"]
        shown = "" if gain["low"] > 0 or gain["high"] < 0 else ", not shown"
        known = one["threshold"] == one["threshold"]
        accepts = f"{_plain(one['right'])}, {_plain(one['wrong'])} {one['threshold']:.3f}"
        table.add_row(
            name,
            _share(one["within"]),
            f"{one['best']['mean']:.1%}",
            f"{100 * gain['mean']:+.1f} [{100 * gain['low']:.1f}, {100 * gain['high']:.1f}]{shown}",
            accepts if known else "none found",
        )
    console.print(table)
    if cut := figures["cut_off"]:
        console.print(
            f"{cut} answers were longer than max_tokens; here they count as wrong.",
            highlight=False,
        )


def _plain(share: float) -> str:
    return "none" if share != share else f"{share:.0%}"


def _share(verdict: Mapping[str, float]) -> str:
    if verdict["mean"] != verdict["mean"]:
        return "none"
    return f"{verdict['mean']:.1%} [{100 * verdict['low']:.1f}, {100 * verdict['high']:.1f}]"
