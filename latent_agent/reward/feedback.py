"""Feedback as a reward: what people said of answers to the same question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from latent_agent.errors import RewardError
from latent_agent.reward.base import Case, Reward, Score
from latent_agent.reward.equivalence import same_answer

_LONGEST = 100 * 366 * 86_400.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Rated:
    """Answers to one question that were rated right, corrections among them, or wrong."""

    right: Sequence[str] = ()
    wrong: Sequence[str] = ()


class FeedbackReward(Reward):
    """No judge but people: an answer stands as it is until somebody rates it.

    A call takes the first start that it has: what rated neighbours lead to, or else the draft. It
    costs one plain answer. What it says is judged by `ChatLatentSeek.feedback`, later.

    Args:
        known: What was said of answers, by conversation. An answer to such a one scores 0 if it
            equals a right one, else -1. Others score 0.
    """

    reads_model = False

    def __init__(self, known: Mapping[str, Rated] | None = None) -> None:
        self._known = known or {}

    @property
    def id(self) -> str:
        """The name of the shelf that rated traces lie on."""
        return "feedback"

    def score(self, case: Case) -> Score:
        """Look the answer up among those that were rated."""
        rated = self._known.get(case.conversation or case.question)
        if rated is None:
            return Score(value=0.0)
        right = any(same_answer(truth, case.answer) for truth in rated.right)
        if not rated.right:
            right = not any(answer.strip() == case.answer.strip() for answer in rated.wrong)
        return Score(value=0.0 if right else -1.0, checks={"rated": float(right)})


class OutcomeReward(FeedbackReward):
    """No judge but the outcome, which comes later: a test that runs, a tool that fails or not.

    As with `FeedbackReward` the first answer stands. It waits for ``chat.feedback(message, 1.0,
    source="test")``; one that nothing was said of by the deadline is dropped.

    Args:
        deadline: How long an answer waits: a time span, or seconds.

    Raises:
        RewardError: If that is no time ahead.
    """

    def __init__(self, deadline: timedelta | float) -> None:
        super().__init__()
        seconds: Any = deadline
        if isinstance(deadline, timedelta):
            seconds = deadline.total_seconds()
        number = isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
        if not number or not 0 < seconds <= _LONGEST:
            raise RewardError(
                "deadline must be a time span of up to 100 years, or seconds, got "
                f"{deadline!r}; for example OutcomeReward(timedelta(hours=1))"
            )
        self.deadline = timedelta(seconds=seconds)
