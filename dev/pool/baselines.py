"""What a pool comes to without a reward."""

from collections.abc import Sequence
from dataclasses import dataclass

from latent_agent.evaluation.pool_file import PooledQuestion
from latent_agent.evaluation.records import most_voted
from latent_agent.evaluation.statistics import Estimate, estimate


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """A pool without a reward.

    Attributes:
        questions: How many.
        answers: How many of each.
        greedy: Right answers among the first ones.
        voted: Self-consistency: the majority over all finals.
        any: Questions with at least one right answer (pass@n).
        cut: Share of answers that were longer than the budget; they count as wrong.
        stated: Share of answers that state something in the end.
        tokens: Length of an answer.
    """

    questions: int
    answers: int
    greedy: Estimate
    voted: Estimate
    any: Estimate
    cut: float
    stated: float
    tokens: float


def baselines(asked: Sequence[PooledQuestion]) -> Baselines:
    """Return what a pool comes to without a reward."""
    everything = [answer for one in asked for answer in one.answers]

    def voted(one: PooledQuestion) -> bool:
        finals = [answer.final if answer.whole else None for answer in one.answers]
        return one.answers[most_voted(finals)].right

    def share(values: Sequence[bool]) -> Estimate:
        return estimate([float(value) for value in values], share=True)

    count = max(1, len(everything))
    return Baselines(
        questions=len(asked),
        answers=max((len(one.answers) for one in asked), default=0),
        greedy=share([one.answers[0].right for one in asked]),
        voted=share([voted(one) for one in asked]),
        any=share([any(answer.right for answer in one.answers) for one in asked]),
        cut=sum(not answer.whole for answer in everything) / count,
        stated=sum(answer.final is not None for answer in everything) / count,
        tokens=sum(answer.tokens for answer in everything) / count,
    )
