"""``latent-agent demo --night``: a day of questions, a night, and the next day."""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from rich.table import Table

from latent_agent.call.agent import reward_for
from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.cli.rows import Row, answer, draw, figures, mean
from latent_agent.model.registry import open_model
from latent_agent.nights.job import NightJob, NightReport
from latent_agent.nights.night import consolidate
from latent_agent.reward import SelfReward
from latent_agent.settings import settings_for
from latent_agent.teaching import Question
from latent_memory import LatentMemory

DAY = 200  # questions of the first day: LatentEvolve's T
Pair = tuple[Row, Row, Row]


def day_night_day(
    chat: ChatLatentSeek, asked: Sequence[Question], seed: int, console: Console
) -> dict[str, Any]:
    """Ask the first questions, consolidate, and ask the others without a memory and with one.

    The second day also asks questions whose family, verb or wording training never saw.
    """
    count = max(4, len(asked) // 10)
    unseen = [*draw("unseen", count, seed), *draw("reworded", count, seed)]
    with (
        tempfile.TemporaryDirectory() as folder,
        LatentMemory(Path(folder) / "nights.sqlite3") as memory,
    ):
        warm = chat.model_copy(update={"memory": memory})
        day = [answer(warm, question) for question in _tracked("day 1", asked[:DAY])]
        console.print(f"A night on {memory.stats().traces} traces ...")
        report = consolidated(chat, memory)
        reader = warm.model_copy(update={"memory_mode": "read"})
        once = chat.model_copy(update={"reward": SelfReward(), "threshold": -1.0})
        later = [
            (answer(chat, question), answer(reader, question), answer(once, question))
            for question in _tracked("day 2", [*asked[DAY:], *unseen])
        ]
    summary = {
        "day_1": figures(day),
        "night": {**asdict(report), "shelf": asdict(report.shelf)},
        "day_2": summarise(later),
    }
    if not console.stderr:
        _show(console, summary)
    return summary


def _tracked(name: str, asked: Sequence[Question]) -> Any:
    return track(asked, name, console=Console(stderr=True))


def consolidated(chat: ChatLatentSeek, memory: LatentMemory) -> NightReport:
    """Run a night on the one shelf of a memory, as a chat model would search and judge."""
    search = settings_for(chat.recipe)
    reward = reward_for(search, chat.reward)
    (info,) = memory.shelves()
    model = open_model(chat.model, chat.tokenizer, chat.dtype, chat.device)
    return consolidate(
        NightJob(memory=memory, model=model, shelf=info.shelf, reward=reward, search=search)
    )


def summarise(rows: Sequence[Pair]) -> dict[str, Any]:
    """Sum the second day up: by family, and over all planted families."""
    families = dict.fromkeys(row.family for row, _, _ in rows)
    return {
        "planted": _beside([pair for pair in rows if pair[0].planted]),
        "families": {
            family: _beside([pair for pair in rows if pair[0].family == family])
            for family in families
        },
    }


def _beside(rows: Sequence[Pair]) -> dict[str, Any]:
    quick = [(warm, once) for _, warm, once in rows if warm.at_once]
    least = sum(once.cost for _, once in quick)
    return {
        "without": _side([row for row, _, _ in rows]),
        "with": _side([row for _, row, _ in rows]),
        "cost_at_once": sum(warm.cost for warm, _ in quick) / least if least else None,
    }


def _side(rows: Sequence[Row]) -> dict[str, Any]:
    return {
        **figures(rows),
        "at_once": mean(rows, lambda row: row.at_once),
        "by_prior": mean(rows, lambda row: row.source == "prior"),
        "forwarded_tokens": mean(rows, lambda row: row.cost),
    }


def _show(console: Console, summary: dict[str, Any]) -> None:
    day, night = summary["day_1"], summary["night"]
    console.print(
        f"Day 1: {day['questions']} questions, {day['mean_steps']:.2f} steps each, "
        f"{day['final_accuracy']:.0%} right."
    )
    console.print(f"Night: {night['verdict']}. {night['reason']}", highlight=False)
    table = Table(title="Day 2, without a memory and with memory and prior")
    table.add_column("Family")
    for name in ("At once", "with", "Steps", "with", "Right", "with", "Cost"):
        table.add_column(name, justify="right")
    found = summary["day_2"]
    for family, point in [*found["families"].items(), ("planted", found["planted"])]:
        plain, warm, cost = point["without"], point["with"], point["cost_at_once"]
        table.add_row(
            family,
            f"{plain['at_once']:.0%}",
            f"{warm['at_once']:.0%}",
            f"{plain['mean_steps']:.2f}",
            f"{warm['mean_steps']:.2f}",
            f"{plain['final_accuracy']:.0%}",
            f"{warm['final_accuracy']:.0%}",
            "" if cost is None else f"{cost:.2f}",
        )
    console.print(table)
    console.print(
        "Cost: forwarded tokens of what passed at once, beside plain generation plus one "
        "judgement. verbs, weather and all other wordings were kept out of training."
    )
