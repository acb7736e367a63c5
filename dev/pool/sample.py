"""``python -m dev.pool sample``: nine answers to each question, in large batches.

A kill costs the questions in hand; the same command goes on.
"""

import threading
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from latent_agent.call.parallel import in_parallel
from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Quiet
from latent_agent.cli.watching import watching
from latent_agent.evaluation.items import load_items
from latent_agent.evaluation.pool_answers import by_turns, checked, pool_settings, write_answers
from latent_agent.evaluation.pool_file import PoolFile
from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import open_model

T = TypeVar("T")
_TEMPERATURE = 0.7


@opens_model
def sample(
    model: Annotated[str, typer.Argument(help="A Hugging Face folder, a GGUF file, or bundled.")],
    data: Annotated[str, typer.Option(help="Questions, as `latent-agent evaluate` takes them.")],
    out: Annotated[Path, typer.Option(help="The pool; one that is there is gone on with.")],
    samples: Annotated[int, typer.Option(help="Answers a question, the greedy one first.")] = 9,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 400,
    seed: int = 0,
    rows: Annotated[int, typer.Option(help="Answers that are written at once.")] = 36,
    limit: Annotated[int | None, typer.Option(help="Questions at most, of all families.")] = None,
    ending: Annotated[str, typer.Option(help="Put after each question.")] = "",
    minutes: Annotated[
        float | None, typer.Option(help="Begin no question after so long; those at hand end.")
    ] = None,
    opened: LoadOptions = USUAL,
    quiet: Quiet = False,
) -> None:
    """Sample answers, the first greedy and the others at temperature 0.7, with log-probabilities.

    In bfloat16 what is written beside an answer can change it by rounding.
    """
    ends = None if minutes is None else time.monotonic() + 60 * minutes
    items = load_items(data)
    served = open_model(model, None, opened)
    settings = pool_settings(
        served, Path(model).name, Path(data).name, items, ending,
        samples=samples, temperature=_TEMPERATURE, max_tokens=max_tokens, seed=seed,
    )  # fmt: skip
    pool = PoolFile(out, settings)
    done = {asked.key for asked in pool.asked}
    wanted = by_turns(items)[:limit]
    left = [item for item in wanted if item.key not in done]
    begun = len(wanted) - len(left)
    cancelled, at_once = threading.Event(), max(1, rows // samples)
    jobs = [
        partial(in_time, partial(write_answers, served, item, settings, ending, cancelled), ends)
        for item in left
    ]
    with watching(quiet=quiet) as report, closing(in_parallel(jobs, at_once, cancelled)) as made:
        report(out.name, begun, len(wanted))
        for number, (item, written) in enumerate(zip(left, made, strict=True), 1):
            if written is not None:
                pool.add(checked(item, *written))
                report.spent(written[1])
                report(out.name, begun + number, len(wanted))


def in_time(job: Callable[[], T], ends: float | None) -> T | None:
    """Do a job, or nothing after a moment of the monotonic clock."""
    return None if ends is not None and time.monotonic() >= ends else job()
