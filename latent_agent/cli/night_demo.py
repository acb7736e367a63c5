"""``latent-agent demo --night``: a day of questions, a night, and the next day."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console

from latent_agent.call.agent import reward_for
from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.cli.rows import (
    Groups,
    answer,
    beside,
    by_family,
    cells,
    draw,
    figures,
    fresh_memory,
    table_of,
    tracked,
)
from latent_agent.model.registry import open_model
from latent_agent.nights.job import NightJob, NightReport
from latent_agent.nights.night import consolidate
from latent_agent.reward import SelfReward
from latent_agent.settings import settings_for
from latent_agent.teaching import Question
from latent_memory import UNRATED, LatentMemory

DAY = 200  # questions of the first day: LatentEvolve's T


def day_night_day(
    chat: ChatLatentSeek, asked: Sequence[Question], seed: int, console: Console
) -> dict[str, Any]:
    """Ask the first questions, consolidate, and ask the others without a memory and with one.

    The second day also asks questions whose family, verb or wording training never saw.
    """
    count = max(4, len(asked) // 10)
    unseen = [*draw("unseen", count, seed), *draw("reworded", count, seed)]
    with fresh_memory() as memory:
        warm = chat.model_copy(update={"memory": memory})
        day = [answer(warm, question) for question in tracked("day 1", asked[:DAY])]
        console.print(f"A night on {memory.stats().traces} traces ...")
        report = consolidated(chat, memory)
        reader = warm.model_copy(update={"memory_mode": "read"})
        once = chat.model_copy(update={"reward": SelfReward(), "threshold": -1.0})
        later = [
            (answer(chat, question), answer(reader, question), answer(once, question))
            for question in tracked("day 2", [*asked[DAY:], *unseen])
        ]
    summary = {
        "day_1": figures(day),
        "night": {**asdict(report), "shelf": asdict(report.shelf)},
        "day_2": {
            "planted": _sums([group for group in later if group[0].planted]),
            "families": by_family(later, _sums),
        },
    }
    if not console.stderr:
        _show(console, summary)
    return summary


def consolidated(chat: ChatLatentSeek, memory: LatentMemory) -> NightReport:
    """Run a night on the one shelf of a memory, as a chat model would search and judge."""
    search = settings_for(chat.recipe)
    reward = reward_for(search, chat.reward)
    (info,) = [info for info in memory.shelves() if info.shelf.reward != UNRATED]
    model = open_model(chat.model, chat.tokenizer, chat.load_options)
    return consolidate(
        NightJob(memory=memory, model=model, shelf=info.shelf, reward=reward, search=search)
    )


def _sums(rows: Groups) -> dict[str, Any]:
    quick = [(warm, once) for _, warm, once in rows if warm.at_once]
    least = sum(once.cost for _, once in quick)
    return {
        **beside(
            rows,
            at_once=lambda row: row.at_once,
            by_prior=lambda row: row.source == "prior",
            forwarded_tokens=lambda row: row.cost,
        ),
        "cost_at_once": sum(warm.cost for warm, _ in quick) / least if least else None,
    }


def _show(console: Console, summary: dict[str, Any]) -> None:
    day, night = summary["day_1"], summary["night"]
    console.print(
        f"Day 1: {day['questions']} questions, {day['mean_steps']:.2f} steps each, "
        f"{day['final_accuracy']:.0%} right."
    )
    console.print(f"Night: {night['verdict']}. {night['reason']}", highlight=False)
    table = table_of(
        "Family", "At once", "with", "Steps", "with", "Right", "with", "Cost",
        title="Day 2, without a memory and with memory and prior",
    )  # fmt: skip
    second = summary["day_2"]
    for family, point in [*second["families"].items(), ("planted", second["planted"])]:
        cost = point["cost_at_once"]
        shown = cells(point, at_once=".0%", mean_steps=".2f", final_accuracy=".0%")
        table.add_row(family, *shown, "" if cost is None else f"{cost:.2f}")
    console.print(table)
    console.print(
        "Cost: forwarded tokens of what passed at once, beside plain generation plus one "
        "judgement. verbs, weather and all other wordings were kept out of training."
    )
