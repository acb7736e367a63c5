"""``python -m dev.bench rounds``: what a round of several answers costs beside one plain answer."""

import json
import resource
import statistics
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json
from latent_agent.reward import Reward, Score, SelfReward
from latent_agent.reward.base import Case


class Refusing(Reward):
    """Lets the model judge all answers of a round, counts the seconds, and refuses them.

    Args:
        judge: Asked; None: nothing is judged.
        accept: Whether they are accepted all the same, so that the first round is the last.
    """

    def __init__(self, judge: Reward | None, *, accept: bool = False) -> None:
        self._judge, self._value = judge, 0.0 if accept else -1.0
        self.seconds, self.judged = 0.0, 0

    def score(self, case: Case) -> Score:
        """Score one."""
        return self.score_round([case])[0]

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Ask for all, and keep to the one value."""
        began = time.perf_counter()
        if self._judge is not None:
            self._judge.score_round(cases)
        self.seconds += time.perf_counter() - began
        self.judged += len(cases)
        return [Score(value=self._value)] * len(cases)


def rounds(
    model: Annotated[str, typer.Argument(help="PLACE or PLACE@DTYPE.")],
    width: Annotated[int, typer.Option(help="Answers of a round.", min=2)] = 8,
    answer: Annotated[int, typer.Option(help="Tokens of each answer.", min=8)] = 320,
    prefix_tokens: Annotated[int, typer.Option(help="Latents that are searched.", min=1)] = 16,
    repeats: Annotated[int, typer.Option(help="Of each, in turn.", min=1)] = 3,
    judge: Annotated[bool, typer.Option(help="Judge by one-pass verdicts.")] = True,
    only: Annotated[
        str, typer.Option(help="One of plain, one, round, drafts, for its peak memory.")
    ] = "",
    threads: Annotated[int | None, typer.Option(help="Threads of the model.", min=1)] = None,
    seed: Annotated[int, typer.Option(help="Of question and samples.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Measure a call whose draft fails, with one round; and one whose drafts are written together.

    Every answer has the same length. Beside them: one answer as the engine itself writes it
    greedily, and a call that drafts alone.
    """
    from dev.bench.engine_run import plain_decoder
    from latent_agent.call.agent import LatentAgent
    from latent_agent.model.conversation import Turn
    from latent_agent.model.options import LoadOptions
    from latent_agent.model.prompt import encode_chat
    from latent_agent.model.registry import open_model
    from latent_agent.settings import settings_for
    from latent_agent.teaching import questions

    place, _, dtype = model.partition("@")
    shared = open_model(place, None, LoadOptions(dtype=dtype or None, threads=threads))
    engine = shared.engine()
    engine.stop_ids = frozenset()
    turns = [Turn("user", questions("test", n=1, seed=seed)[0].text)]
    prompt, plain = encode_chat(engine.tokenizer, turns), plain_decoder(engine)
    given: dict[str, dict[str, Any]] = {
        "one": {"accept": True},
        "round": {"width": width},
        "drafts": {"drafts": width, "accept": True},
    }

    def once(name: str) -> dict[str, float]:
        began = time.perf_counter()
        if name == "plain":
            plain.write([prompt], answer)
            return {"seconds": time.perf_counter() - began, "judging": 0.0, "answers": 1}
        settings = dict(given[name])
        asked = SelfReward(verdict="logits") if judge else None
        reward = Refusing(asked, accept=settings.pop("accept", False))
        lengths = {"max_tokens": answer, "prefix_tokens": prefix_tokens}
        chosen = settings_for(max_iterations=1, seed=seed, **lengths, **settings)
        outcome = LatentAgent(shared, chosen, reward).answer(turns)
        return {
            "seconds": time.perf_counter() - began,
            "judging": reward.seconds,
            "answers": sum(map(len, outcome.rewards)),
            "judged": reward.judged,
            **outcome.forwarded_tokens,
        }

    names = [only] if only else ["plain", *given]
    once(names[-1] if only else "one")  # what is read or made once
    ran = {name: list[dict[str, float]]() for name in names}
    for _ in range(repeats):
        for name in names:
            ran[name].append(once(name))
    found = {
        name: {key: statistics.median([one[key] for one in rows]) for key in rows[0]}
        for name, rows in ran.items()
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if as_json:
        typer.echo(json.dumps({"peak_bytes": peak, **found}))
        return
    table = Table("", "seconds", "/ plain", "without judging", "answers", "written", "judge")
    base = found.get("plain", {"seconds": float("nan")})["seconds"]
    for name, one in found.items():
        table.add_row(
            name,
            f"{one['seconds']:.2f}",
            f"{one['seconds'] / base:.2f}",
            f"{(one['seconds'] - one['judging']) / base:.2f}",
            f"{one['answers']:.0f}",
            f"{one.get('draft', 0) + one.get('refine', 0):.0f}",
            f"{one.get('judge', 0):.0f}",
        )
    Console().print(table)
    Console().print(f"peak memory {peak / 1e6:,.0f} MB")
