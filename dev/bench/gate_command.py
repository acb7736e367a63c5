"""``python -m dev.bench gate``: a night's replays one by one, and at once."""

import json
import statistics
import time
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json
from latent_agent.cli.watching import watching


def gate(
    model: Annotated[str, typer.Argument(help="PLACE or PLACE@DTYPE.")],
    replays: Annotated[int, typer.Option(help="Of two contestants together.", min=16)] = 60,
    at_once: Annotated[int, typer.Option(help="Replays that share passes.", min=2)] = 8,
    data: Annotated[str, typer.Option(help="Questions: a file, or bundled:SPLIT.")] = (
        "bundled:test"
    ),
    max_tokens: Annotated[int, typer.Option(help="Longest answer.", min=1)] = 64,
    iterations: Annotated[int, typer.Option(help="Rounds where a draft fails.", min=0)] = 1,
    repeats: Annotated[int, typer.Option(help="Of each, in turn.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Of the searches.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Judge two contestants without a prior, one replay after the other and several at once.

    Both do the same work and get the same figures in float32. Answers are judged by one-pass
    verdicts.
    """
    from latent_agent.call.stored_call import StoredCall
    from latent_agent.evaluation.items import load_items
    from latent_agent.model.options import LoadOptions
    from latent_agent.model.registry import open_model
    from latent_agent.nights.gate import CANDIDATE, NEITHER, GateSettings, judge
    from latent_agent.nights.replay import Replay, Replayer
    from latent_agent.reward import SelfReward
    from latent_agent.settings import settings_for

    place, _, dtype = model.partition("@")
    shared = open_model(place, None, LoadOptions(dtype=dtype or None))
    settings = settings_for(max_iterations=iterations, max_tokens=max_tokens, seed=seed)
    items = load_items(data)[: replays // 2]
    questions = [StoredCall.question(item.question) for item in items]
    ran: dict[int, list[float]] = {1: [], at_once: []}
    figures: dict[int, dict[str, Any]] = {}
    replayers = {
        most: Replayer(
            model=shared,
            settings=settings,
            reward=SelfReward(verdict="logits"),
            at_once=most,
        )
        for most in ran
    }
    replayers[1].replay(questions[0], None)  # what is read or made once
    with watching() as report:
        for turn in range(repeats):
            for most, seconds in ran.items():
                done = iter(range(1, replays + 1))

                stage = f"{turn + 1}: {most} at once"

                def seen(_: Replay | None, stage: str = stage, done: Iterator[int] = done) -> None:
                    report(stage, next(done), replays)

                began = time.perf_counter()
                verdict = judge(
                    replayers[most],
                    {CANDIDATE: None, NEITHER: None},
                    questions,
                    [],
                    GateSettings(least=2),
                    seen,
                )
                seconds.append(time.perf_counter() - began)
                figures[most] = dict(verdict.figures["contestants"][CANDIDATE])
    medians = {most: statistics.median(seconds) for most, seconds in ran.items()}
    found = {
        "replays": 2 * len(questions),
        "seconds": {str(most): seconds for most, seconds in ran.items()},
        "times_faster": medians[1] / medians[at_once],
        "same_figures": figures[1] == figures[at_once],
        "figures": {str(most): row for most, row in figures.items()},
    }
    if as_json:
        typer.echo(json.dumps(found))
        return
    table = Table("at once", "seconds", "tokens a replay", "steps", "accepted")
    for most, seconds in medians.items():
        row = figures[most]
        table.add_row(
            str(most),
            f"{seconds:.1f}",
            f"{row['forwarded_tokens']:.0f}",
            f"{row['steps']:.2f}",
            f"{row['accepted']:.0%}",
        )
    Console().print(table)
    Console().print(
        f"{found['replays']} replays, {found['times_faster']:.2f} times faster at once; "
        f"{'the same figures' if found['same_figures'] else 'other figures'}"
    )
