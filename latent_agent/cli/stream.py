"""``latent-agent demo --memory``: the same stream of questions without a memory and with one."""

from collections.abc import Sequence
from typing import Any

from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.cli.rows import (
    Groups,
    answer,
    beside,
    by_family,
    cells,
    fresh_memory,
    table_of,
    tracked,
)
from latent_agent.teaching import Question

_POINTS = 6
_WARM = 1 / 3  # of the stream, after which the memory counts as filled


def stream(chat: ChatLatentSeek, asked: Sequence[Question], console: Console) -> dict[str, Any]:
    """Ask each question twice, without a memory and with a fresh one that fills as it goes.

    Returns:
        Curves over the planted families' questions, and figures by family for the part of the
        stream after the first third.
    """
    with fresh_memory() as memory:
        warm = chat.model_copy(update={"memory": memory})
        summary = _summary(
            [
                (answer(chat, question), answer(warm, question))
                for question in tracked("answering twice", asked)
            ]
        )
    if not console.stderr:
        _show(console, summary)
    return summary


def _summary(pairs: Groups) -> dict[str, Any]:
    """Sum a stream up: points of the curve, and what follows once the memory is filled."""
    planted = [pair for pair in pairs if pair[0].planted]
    size = max(1, -(-len(planted) // _POINTS))
    later = pairs[int(len(pairs) * _WARM) :]
    return {
        "questions": len(pairs),
        "planted": len(planted),
        "curve": [_point(planted[at : at + size]) for at in range(0, len(planted), size)],
        "after_warm_up": {
            "planted": _point([pair for pair in later if pair[0].planted]),
            "families": by_family(later, _point),
        },
    }


def _point(pairs: Groups) -> dict[str, Any]:
    return beside(
        pairs,
        recalled=lambda row: row.source == "memory",
        forwarded_tokens=lambda row: row.cost,
    )


def _show(console: Console, summary: dict[str, Any]) -> None:
    console.print(_curve(summary["curve"]))
    later = summary["after_warm_up"]
    table = table_of(
        "Family", "Steps without", "with", "Right without", "with", "By memory",
        title="After the first third of the stream",
    )  # fmt: skip
    for family, point in [*later["families"].items(), ("all planted", later["planted"])]:
        shown = cells(point, mean_steps=".2f", final_accuracy=".0%")
        table.add_row(family, *shown, f"{point['with']['recalled']:.0%}")
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
