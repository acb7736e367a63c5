"""``latent-agent demo --days N``: days and nights in a row, while the questions drift."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from latent_agent.agent import default_reward
from latent_agent.chat_model import ChatLatentSeek
from latent_agent.cli.night_demo import consolidated
from latent_agent.cli.rows import Row, answer, figures
from latent_agent.settings import settings_for
from latent_agent.teaching import Question
from latent_agent.teaching.families import TRAINED
from latent_agent.teaching.misjudging import Misjudging
from latent_memory import LatentMemory

_PLANTED = ("story", "compare", "groups", "calendar")
_LAST = 20  # questions a family once all nights are over
Pair = tuple[Row, Row]


@dataclass(frozen=True, kw_only=True)
class Days:
    """What is asked when: ``each`` questions a day, of two families that drift from day to day."""

    days: int
    each: int

    def families(self, day: int) -> Sequence[str]:
        """Return the two families of a day, from 0."""
        return (_PLANTED[day % 4], _PLANTED[(day + 1) % 4])

    @property
    def needed(self) -> int:
        """How many questions of all families must be drawn: as many of each as of the busiest."""
        days = max(sum(f in self.families(day) for day in range(self.days)) for f in _PLANTED)
        return len(TRAINED) * (days * -(-self.each // 2) + _LAST)


def days_in_a_row(
    chat: ChatLatentSeek, asked: Sequence[Question], plan: Days, misjudge: float, console: Console
) -> dict[str, Any]:
    """Ask each day's questions without and with a memory, with a night after each day.

    Args:
        chat: The model, without a memory.
        asked: Questions of all families, at least ``plan.needed``.
        plan: How many days, of how many questions.
        misjudge: Share of all answers that the judge gets wrong.
        console: Where the tables go, unless it writes to stderr.
    """
    if misjudge:
        judge = chat.reward or default_reward(settings_for(chat.recipe).judge)
        chat = chat.model_copy(update={"reward": Misjudging(judge, misjudge)})
    left = {
        family: [question for question in asked if question.family == family] for family in _PLANTED
    }
    days: list[dict[str, Any]] = []
    with (
        tempfile.TemporaryDirectory() as folder,
        LatentMemory(Path(folder) / "days.sqlite3") as memory,
    ):
        warm = chat.model_copy(update={"memory": memory})
        for day in range(plan.days):
            today = _taken(left, plan.families(day), plan.each)
            pairs = _ask(chat, warm, f"day {day + 1}", today)
            report = consolidated(chat, memory)
            days.append(
                {
                    "families": list(plan.families(day)),
                    **_beside(pairs),
                    "night": {"verdict": report.verdict, "reason": report.reason},
                }
            )
        reader = warm.model_copy(update={"memory_mode": "read"})
        last = {
            family: _beside(_ask(chat, reader, family, left[family][:_LAST])) for family in _PLANTED
        }
    summary = {"days": days, "afterwards": last, "misjudged": misjudge}
    if not console.stderr:
        _show(console, summary)
    return summary


def _taken(left: dict[str, list[Question]], families: Sequence[str], count: int) -> list[Question]:
    """Take a day's questions off what is left, families in turn."""
    return [left[families[number % len(families)]].pop() for number in range(count)]


def _ask(
    chat: ChatLatentSeek, warm: ChatLatentSeek, name: str, asked: Sequence[Question]
) -> list[Pair]:
    told = track(asked, name, console=Console(stderr=True), transient=True)
    return [(answer(chat, question), answer(warm, question)) for question in told]


def _beside(pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "without": figures([plain for plain, _ in pairs]),
        "with": figures([warm for _, warm in pairs]),
    }


def _show(console: Console, summary: dict[str, Any]) -> None:
    table = Table(title="Days and nights in a row, without a memory and with memory and prior")
    table.add_column("Day")
    for name in ("Steps", "with", "Right", "with"):
        table.add_column(name, justify="right")
    table.add_column("Night")
    for number, day in enumerate(summary["days"], 1):
        name = f"{number}: {', '.join(day['families'])}"
        table.add_row(name, *_cells(day), day["night"]["verdict"])
    table.add_section()
    for family, point in summary["afterwards"].items():
        table.add_row(f"afterwards: {family}", *_cells(point), "")
    console.print(table)


def _cells(point: dict[str, Any]) -> Sequence[str]:
    plain, warm = point["without"], point["with"]
    return (
        f"{plain['mean_steps']:.2f}",
        f"{warm['mean_steps']:.2f}",
        f"{plain['final_accuracy']:.0%}",
        f"{warm['final_accuracy']:.0%}",
    )
