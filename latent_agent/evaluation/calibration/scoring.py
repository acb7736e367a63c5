"""Every reward that needs no truth, on the same answers."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Event

from latent_agent.call.agent import default_reward
from latent_agent.errors import RewardError
from latent_agent.evaluation.pool_answers import cases
from latent_agent.evaluation.pool_file import PooledQuestion
from latent_agent.evaluation.reward_figures import Figures, figures
from latent_agent.model.budget import Budget
from latent_agent.model.registry import SharedModel
from latent_agent.reward import CertaintyReward, Reward
from latent_agent.reward.base import checked_scores
from latent_agent.reward.by_name import BUILT_IN
from latent_agent.reward.self_judge import SelfJudge

WRITTEN = "self"
"""The four written checks, as `--reward` calls them."""


def rewards_for(written: bool, others: Mapping[str, Reward]) -> dict[str, Reward]:
    """Return what is compared, by name.

    Args:
        written: The four written checks too, which cost four replies an answer.
        others: What else was asked for.
    """
    named = {name: build() for name, build in BUILT_IN.items()}
    named["certainty"] = CertaintyReward("whole")
    if written:
        named[WRITTEN] = default_reward("strict")
    return {**named, **others}


@dataclass(frozen=True, kw_only=True)
class Scored:
    """What one reward says of one question's answers.

    Attributes:
        scores: Of all answers; by a relative reward those of the first few too, which it compares
            among themselves. By how many answers.
        tokens: Forwarded tokens of all answers' scores.
        seconds: What they took.
        failures: Answers for which the reward failed; they score -1.
        error: What it said.
    """

    scores: Mapping[str, Sequence[float]]
    tokens: int
    seconds: float
    failures: int = 0
    error: str = ""

    def at(self, width: int) -> Sequence[float]:
        """Return the scores of the first so many answers."""
        known = self.scores.get(str(width))
        return max(self.scores.values(), key=len)[:width] if known is None else known


Row = Mapping[str, Scored]
"""What all rewards say of one question's answers, by name."""


def score(
    model: SharedModel,
    rewards: Mapping[str, Reward],
    asked: PooledQuestion,
    widths: Sequence[int],
    cancelled: Event,
) -> dict[str, Scored]:
    """Score a question's answers by all rewards, one reward after the other.

    Raises:
        CallCancelled: If ``cancelled`` is set before all have.
    """
    return {
        name: _scored(model, reward, asked, widths, cancelled) for name, reward in rewards.items()
    }


def _scored(
    model: SharedModel,
    reward: Reward,
    asked: PooledQuestion,
    widths: Sequence[int],
    cancelled: Event,
) -> Scored:
    began, budget = time.perf_counter(), Budget(cancelled=cancelled)
    given = cases(asked, SelfJudge(model.engine(), budget, model.judge_prompts))
    counts = [count for count in widths if count < len(given)] if reward.relative else []
    failures, error, scores = 0, "", dict[str, list[float]]()
    for count in [*counts, len(given)]:
        found = list(checked_scores(reward, given[:count]))
        errors = [one for one in found if isinstance(one, RewardError)]
        failures, error = len(errors), str(errors[0]) if errors else ""
        scores[str(count)] = [
            # What is vetoed is never taken, whatever its value.
            -1.0 if isinstance(one, RewardError) or one.vetoed else round(one.value, 6)
            for one in found
        ]
    return Scored(
        scores=scores,
        tokens=budget.total,
        seconds=round(time.perf_counter() - began, 4),
        failures=failures,
        error=error,
    )


@dataclass(frozen=True, kw_only=True)
class Compared:
    """Rewards on the questions that all of them scored.

    Attributes:
        asked: The questions.
        rows: Their scores, in the same order.
        figures: By reward.
        failed: What a reward said that failed for all answers; it has no figures.
    """

    asked: Sequence[PooledQuestion]
    rows: Sequence[Row]
    figures: Mapping[str, Figures]
    failed: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def rights(self) -> list[list[bool]]:
        """Which answers are right, a row a question."""
        return rights_of(self.asked)


def compared(
    asked: Sequence[PooledQuestion], rows: Sequence[Row], rewards: Sequence[str], seed: int = 0
) -> Compared:
    """Compare rewards on questions that all of them scored."""
    rights, found, failed = rights_of(asked), dict[str, Figures](), dict[str, str]()
    answers = max(1, sum(map(len, rights)))
    for name in rewards:
        ones = [row[name] for row in rows]
        if asked and sum(one.failures for one in ones) == answers:
            failed[name] = ones[0].error
            continue
        scores = [one.at(len(right)) for one, right in zip(ones, rights, strict=True)]
        tokens, seconds = sum(one.tokens for one in ones), sum(one.seconds for one in ones)
        found[name] = figures(rights, scores, seed, tokens / answers, seconds / answers)
    return Compared(asked=asked, rows=rows, figures=found, failed=failed)


def rights_of(asked: Sequence[PooledQuestion]) -> list[list[bool]]:
    """Return which answers are right, a row a question."""
    return [[answer.right for answer in one.answers] for one in asked]
