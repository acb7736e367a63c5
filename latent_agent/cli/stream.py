"""``latent-agent demo --memory``: the same stream of questions without a memory and with one."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.bar import Bar
from rich.console import Console
from rich.progress import track
from rich.table import Table

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.cli.rows import Row, answer, figures, mean
from latent_agent.teaching import Question
from latent_memory import LatentMemory

_POINTS = 6
_WARM = 1 / 3  # of the stream, after which the memory counts as filled
Pair = tuple[Row, Row]


def stream(chat: ChatLatentSeek, asked: Sequence[Question], console: Console) -> dict[str, Any]:
    """Ask each question twice, without a memory and with a fresh one that fills as it goes.

    Returns:
        Curves over the planted families' questions, and figures by family for the part of the
        stream after the first third.
    """
    pairs: list[Pair] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        LatentMemory(Path(folder) / "stream.sqlite3") as memory,
    ):
        warm = chat.model_copy(update={"memory": memory})
        for question in track(asked, "answering twice", console=Console(stderr=True)):
            pairs.append((answer(chat, question), answer(warm, question)))
    summary = summarise_stream(pairs)
    if not console.stderr:
        _show(console, summary)
    return summary


def summarise_stream(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Sum a stream up: points of the curve, and what follows once the memory is filled."""
    planted = [pair for pair in pairs if pair[0].planted]
    size = max(1, -(-len(planted) // _POINTS))
    chunks = [planted[start : start + size] for start in range(0, len(planted), size)]
    later = pairs[int(len(pairs) * _WARM) :]
    families = dict.fromkeys(pair[0].family for pair in later)
    return {
        "questions": len(pairs),
        "planted": len(planted),
        "curve": [_beside(chunk) for chunk in chunks],
        "after_warm_up": {
            "planted": _beside([pair for pair in later if pair[0].planted]),
            "families": {
                family: _beside([pair for pair in later if pair[0].family == family])
                for family in families
            },
        },
    }


def _beside(pairs: Sequence[Pair]) -> dict[str, Any]:
    return {"without": _side([pair[0] for pair in pairs]), "with": _side([p[1] for p in pairs])}


def _side(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        **figures(rows),
        "recalled": mean(rows, lambda row: row.source == "memory"),
        "forwarded_tokens": mean(rows, lambda row: row.cost),
    }


def _show(console: Console, summary: dict[str, Any]) -> None:
    console.print(_curve(summary["curve"]))
    later = summary["after_warm_up"]
    table = Table(title="After the first third of the stream")
    table.add_column("Family")
    for name in ("Steps without", "with", "Right without", "with", "By memory"):
        table.add_column(name, justify="right")
    for family, point in [*later["families"].items(), ("all planted", later["planted"])]:
        plain, warm = point["without"], point["with"]
        table.add_row(
            family,
            f"{plain['mean_steps']:.2f}",
            f"{warm['mean_steps']:.2f}",
            f"{plain['final_accuracy']:.0%}",
            f"{warm['final_accuracy']:.0%}",
            f"{warm['recalled']:.0%}",
        )
    console.print(table)


def _curve(points: Sequence[dict[str, Any]]) -> Table:
    """Draw the mean steps of each part of the stream, without a memory and with one."""
    table = Table(title="Gradient steps along the stream, planted families")
    table.add_column("Questions")
    table.add_column("Memory")
    table.add_column("Steps", justify="right")
    table.add_column(width=30)
    table.add_column("Right", justify="right")
    most = max(point["without"]["mean_steps"] for point in points) or 1.0
    asked = 0
    for point in points:
        first, asked = asked + 1, asked + point["with"]["questions"]
        for name in ("without", "with"):
            steps, right = point[name]["mean_steps"], point[name]["final_accuracy"]
            part = f"{first} to {asked}" if name == "without" else ""
            bar = Bar(most, 0, steps, color="cyan" if name == "with" else "bright_black")
            table.add_row(part, name, f"{steps:.2f}", bar, f"{right:.0%}")
        table.add_section()
    return table
