"""What the demos share: one question of the teaching world answered, and sums over many of them."""

import tempfile
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.table import Table

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.cli.watching import watching
from latent_agent.errors import SettingError
from latent_agent.reward import ExactMatch
from latent_agent.teaching import Question, is_right, questions
from latent_agent.teaching.world import final_answer
from latent_memory import LatentMemory


@dataclass(frozen=True, kw_only=True)
class Row:
    """One question answered; a draft that a warm start made unnecessary is None."""

    question: str
    family: str
    planted: bool
    draft: str | None
    final: str
    draft_right: bool
    final_right: bool
    rewards: Sequence[Sequence[float]]
    steps: int
    stopped: str
    source: str
    forwarded: dict[str, int]

    @property
    def at_once(self) -> bool:
        """Whether the first answer that was judged passed."""
        return self.stopped == "threshold" and len(self.rewards) == 1

    @property
    def cost(self) -> int:
        """All forwarded tokens."""
        return sum(self.forwarded.values())


_SIDES = ("without", "with")
Rows = Sequence[Row]
Groups = Sequence[tuple[Row, ...]]
"""Answers to the same questions in several ways: without a memory first, with one second."""


def draw(split: str, count: int, seed: int) -> list[Question]:
    """Draw questions of the teaching world; raise `SettingError` for an unknown split."""
    try:
        return questions(split=split, n=count, seed=seed)
    except ValueError as error:
        raise SettingError(str(error)) from error


def scores_for(reward: object, asked: Iterable[Question]) -> Any:
    """Return the reward; ``psrm`` becomes one that knows these questions' truths."""
    if reward == "psrm":
        return ExactMatch({question.text: question.truth for question in asked})
    return reward


@contextmanager
def fresh_memory() -> Generator[LatentMemory]:
    """Open a memory in a temporary folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        LatentMemory(Path(folder) / "demo.sqlite3") as memory,
    ):
        yield memory


def tracked(name: str, asked: Sequence[Question]) -> Iterable[Question]:
    """Yield questions, and show how far they are."""
    with watching() as report:
        for number, question in enumerate(asked, 1):
            yield question
            report(name, number, len(asked))


def answer(chat: ChatLatentSeek, question: Question) -> Row:
    """Ask one question of the teaching world."""
    return answered(
        chat, question.text, partial(is_right, question), final_answer,
        family=question.family, planted=question.planted,
    )  # fmt: skip


def answered(
    chat: ChatLatentSeek,
    question: str,
    right: Callable[[str], bool],
    final: Callable[[str], str | None],
    *,
    family: str = "",
    planted: bool = False,
) -> Row:
    """Ask one question; ``right`` and ``final`` look at whole answers."""
    message = chat.invoke(question)
    trace = message.response_metadata["latent_agent"]
    draft: str | None = trace["draft"]
    return Row(
        question=question,
        family=family,
        planted=planted,
        draft=None if draft is None else final(draft) or "none",
        final=final(message.text) or "none",
        draft_right=draft is not None and right(draft),
        final_right=right(message.text),
        rewards=trace["rewards"],
        steps=trace["iterations"],
        stopped=trace["stopped"],
        source=trace["source"],
        forwarded=trace["forwarded_tokens"],
    )


def figures(rows: Rows, **more: Callable[[Row], float]) -> dict[str, Any]:
    """Return means over rows under the contract's names, and ``more``; 0 where there are none."""
    means: dict[str, Callable[[Row], float]] = {
        "draft_accuracy": lambda row: row.draft_right,
        "final_accuracy": lambda row: row.final_right,
        "mean_steps": lambda row: row.steps,
        **more,
    }
    divisor = len(rows) or 1
    averaged = {name: sum(map(of, rows)) / divisor for name, of in means.items()}
    return {"questions": len(rows), **averaged}


def beside(groups: Groups, **more: Callable[[Row], float]) -> dict[str, Any]:
    """Return the figures without a memory and with one."""
    return {
        name: figures([group[at] for group in groups], **more) for at, name in enumerate(_SIDES)
    }


def by_family(groups: Groups, sum_up: Callable[[Groups], dict[str, Any]]) -> dict[str, Any]:
    """Sum the questions of each family up."""
    return {
        family: sum_up([group for group in groups if group[0].family == family])
        for family in dict.fromkeys(group[0].family for group in groups)
    }


def table_of(*names: str, **options: Any) -> Table:
    """Return a table whose first column is text, the others figures."""
    table = Table(names[0], **options)
    for name in names[1:]:
        table.add_column(name, justify="right")
    return table


def cells(point: dict[str, Any], **forms: str) -> list[str]:
    """Format figures, each without a memory and with one."""
    return [format(point[side][name], form) for name, form in forms.items() for side in _SIDES]
