"""``python -m dev.bench feedback``: what a rating and a correction cost beside a call."""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json
from latent_agent.cli.watching import watching


def feedback(
    model: Annotated[str, typer.Argument(help="PLACE or PLACE@DTYPE.")],
    answers: Annotated[int, typer.Option(help="That are rated and corrected.", min=2)] = 10,
    data: Annotated[str, typer.Option(help="Questions: a file, or bundled:SPLIT.")] = (
        "bundled:test"
    ),
    max_tokens: Annotated[int, typer.Option(help="Longest answer.", min=1)] = 64,
    as_json: Json = False,
) -> None:
    """Ask questions without a search, then rate each answer, rate it again, and correct it.

    A correction is as long as the answer: the true final answer before the answer's own text.
    """
    from latent_agent import ChatLatentSeek, FeedbackReward
    from latent_agent.evaluation.items import load_items
    from latent_memory import LatentMemory

    place, _, dtype = model.partition("@")
    items = load_items(data)[:answers]
    seconds: dict[str, list[float]] = {
        name: [] for name in ("call", "rated", "rated again", "corrected")
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        LatentMemory(Path(folder, "memory.sqlite3")) as memory,
        watching() as report,
    ):
        chat = ChatLatentSeek(
            model=place, dtype=dtype or None, memory=memory, reward=FeedbackReward(),
            max_tokens=max_tokens, max_iterations=0,
        )  # fmt: skip
        for done, item in enumerate(items):
            began = time.perf_counter()
            message = chat.invoke(item.question)
            seconds["call"].append(time.perf_counter() - began)
            for name, score, correction in (
                ("rated", 1.0, None),
                ("rated again", 0.0, None),
                ("corrected", None, f"The answer is {item.truth}. {message.text}"),
            ):
                began = time.perf_counter()
                chat.feedback(message, score, correction=correction)
                seconds[name].append(time.perf_counter() - began)
            report("answers", done + 1, len(items))
    found = {
        name: {"median": statistics.median(taken), "most": max(taken)}
        for name, taken in seconds.items()
    }
    if as_json:
        typer.echo(json.dumps({"answers": len(items), "seconds": found}))
        return
    table = Table("what", "median, ms", "most, ms")
    for name, row in found.items():
        table.add_row(name, f"{1000 * row['median']:.1f}", f"{1000 * row['most']:.1f}")
    Console().print(table)
