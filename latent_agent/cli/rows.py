"""One question of the teaching world answered, and sums over many of them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.errors import SettingError
from latent_agent.reward import ExactMatch
from latent_agent.teaching import Question, is_right, questions
from latent_agent.teaching.world import final_answer


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
    rewards: Sequence[float]
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


def answer(chat: ChatLatentSeek, question: Question) -> Row:
    """Ask one question."""
    message = chat.invoke(question.text)
    trace = message.response_metadata["latent_agent"]
    draft: str | None = trace["draft"]
    return Row(
        question=question.text,
        family=question.family,
        planted=question.planted,
        draft=None if draft is None else final_answer(draft) or "none",
        final=final_answer(message.text) or "none",
        draft_right=draft is not None and is_right(question, draft),
        final_right=is_right(question, message.text),
        rewards=trace["rewards"],
        steps=trace["iterations"],
        stopped=trace["stopped"],
        source=trace["source"],
        forwarded=trace["forwarded_tokens"],
    )


def mean(rows: Sequence[Row], figure: Callable[[Row], float]) -> float:
    """Average a figure over rows; 0 where there are none."""
    return sum(figure(row) for row in rows) / len(rows) if rows else 0.0


def figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Sum rows up under the contract's names."""
    return {
        "questions": len(rows),
        "draft_accuracy": mean(rows, lambda row: row.draft_right),
        "final_accuracy": mean(rows, lambda row: row.final_right),
        "mean_steps": mean(rows, lambda row: row.steps),
    }


def summarise(rows: Sequence[Row]) -> dict[str, Any]:
    """Sum the rows up, over all and by family."""
    families = dict.fromkeys(row.family for row in rows)
    bill = {
        stage: sum(row.forwarded[stage] for row in rows) for stage in ("draft", "refine", "judge")
    }
    return {
        **figures(rows),
        "forwarded_tokens": bill,
        "families": {
            family: figures([row for row in rows if row.family == family]) for family in families
        },
    }
