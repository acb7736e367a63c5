"""``latent-agent demo --days N``: days and nights in a row, while the questions drift."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from latent_agent.call.agent import reward_for
from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.cli.night_demo import consolidated
from latent_agent.cli.rows import (
    Row,
    answer,
    beside,
    cells,
    fresh_memory,
    table_of,
    tracked,
)
from latent_agent.settings import settings_for
from latent_agent.teaching import Question
from latent_agent.teaching.families import TRAINED
from latent_agent.teaching.misjudging import Misjudging

_PLANTED = ("story", "compare", "groups", "calendar")
_LAST = 20  # questions a family once all nights are over
Pair = tuple[Row, Row]


@dataclass(frozen=True, kw_only=True)
class Days:
    """What is asked when: ``each`` questions a day, which drift from family to family.

    Half of a day's questions are of one family, a quarter of the day before's, and a quarter of
    the next day's; the first day has no day before it.
    """

    days: int
    each: int

    def mix(self, day: int) -> dict[str, int]:
        """Return how many questions of which families a day has, from day 0."""
        quarter = self.each // 4
        going, here, coming = (_PLANTED[(day + ahead) % 4] for ahead in (-1, 0, 1))
        if not day:
            return {here: self.each - quarter, coming: quarter}
        return {going: quarter, here: self.each - 2 * quarter, coming: quarter}

    @property
    def needed(self) -> int:
        """How many questions of all families must be drawn: as many of each as of the busiest."""
        mixes = [self.mix(day) for day in range(self.days)]
        return len(TRAINED) * (max(sum(mix.get(f, 0) for mix in mixes) for f in _PLANTED) + _LAST)


def days_in_a_row(
    chat: ChatLatentSeek, asked: Sequence[Question], plan: Days, misjudge: float, console: Console
) -> dict[str, Any]:
    """Ask each day's questions without and with a memory, with a night after each day.

    Args:
        chat: The model, without a memory.
        asked: Questions of all families, at least ``plan.needed``.
        plan: How many days, of how many questions.
        misjudge: Share of all answers that the judge gets wrong.
        console: Where days and tables are shown; the tables not, if it writes to stderr.
    """
    if misjudge:
        judge = reward_for(settings_for(chat.recipe), chat.reward)
        chat = chat.model_copy(update={"reward": Misjudging(judge, misjudge)})
    left = {
        family: [question for question in asked if question.family == family] for family in _PLANTED
    }
    days: list[dict[str, Any]] = []
    known: set[str] = set()
    with fresh_memory() as memory:
        warm = chat.model_copy(update={"memory": memory})
        for day in range(plan.days):
            mix = plan.mix(day)
            pairs = _ask(chat, warm, f"day {day + 1}", _taken(left, mix, day))
            report = consolidated(chat, memory)
            night = {"verdict": report.verdict, "reason": report.reason}
            days.append({"families": mix, **apart(pairs, known), "night": night})
            known |= mix.keys()
            _print_day(console, len(days), days[-1])
        reader = warm.model_copy(update={"memory_mode": "read"})
        last = {
            family: beside(_ask(chat, reader, family, left[family][:_LAST])) for family in _PLANTED
        }
    summary = {"days": days, "afterwards": last, "misjudged": misjudge}
    if not console.stderr:
        console.print(days_table(summary))
    return summary


def _taken(left: dict[str, list[Question]], mix: dict[str, int], day: int) -> list[Question]:
    """Take a day's questions off what is left, its families mixed."""
    families = [family for family, count in mix.items() for _ in range(count)]
    Random(day).shuffle(families)
    return [left[family].pop() for family in families]


def _ask(
    chat: ChatLatentSeek, warm: ChatLatentSeek, name: str, asked: Sequence[Question]
) -> list[Pair]:
    return [(answer(chat, question), answer(warm, question)) for question in tracked(name, asked)]


def apart(pairs: Sequence[Pair], known: Collection[str]) -> dict[str, Any]:
    """Sum a day up, and apart the families that earlier days asked of and the new ones."""
    before = [pair for pair in pairs if pair[0].family in known]
    new = [pair for pair in pairs if pair[0].family not in known]
    return {**beside(pairs), "known": beside(before), "new": beside(new)}


def _print_day(console: Console, number: int, day: dict[str, Any]) -> None:
    plain, warm = (day[side]["mean_steps"] for side in ("without", "with"))
    night = day["night"]
    console.print(
        f"Day {number}: {warm:.2f} steps a question, {plain:.2f} without a memory. "
        f"Night: {night['verdict']}; {night['reason']}.",
        highlight=False,
    )


def days_table(summary: dict[str, Any]) -> Table:
    """Lay days and nights out, each day's known and new families below it."""
    table = table_of(
        "Day", "Asked", "Steps", "with", "Right", "with",
        title="Days and nights in a row, without a memory and with memory and prior",
    )  # fmt: skip
    table.add_column("Night")
    known: set[str] = set()
    for number, day in enumerate(summary["days"], 1):
        table.add_row(f"day {number}", *_cells(day), day["night"]["verdict"])
        for name in ("known", "new"):
            families = [
                family for family in day["families"] if (family in known) == (name == "known")
            ]
            if families:
                table.add_row(
                    f"  {name}: {', '.join(families)}", *_cells(day[name]), "", style="dim"
                )
        known |= day["families"].keys()
    table.add_section()
    for family, point in summary["afterwards"].items():
        table.add_row(f"afterwards: {family}", *_cells(point), "")
    table.caption = "Known: families that earlier days asked of. New: the others."
    return table


def _cells(point: dict[str, Any]) -> list[str]:
    asked = str(point["without"]["questions"])
    return [asked, *cells(point, mean_steps=".2f", final_accuracy=".0%")]
