"""What a pool says of a reward: how it ranks answers, and which ones it would have accepted."""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from dev.pool.pool_file import Asked
from latent_agent.evaluation.records import most_voted
from latent_agent.evaluation.statistics import Comparison, Estimate, compare, estimate, ratio

Scores = Sequence[Sequence[float]]
"""One a question, of each a score an answer, in [-1, 0]."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A reward on a pool.

    Attributes:
        area: Of all pairs of a right and a wrong answer, of whichever questions, the share that is
            ranked rightly; ties count half.
        within: The same over pairs of one question.
        best: Questions whose highest score is a right answer's; of equal ones the first counts.
        gain: That less the greedy answer.
        threshold: Above it answers are accepted: it maximises the balanced accuracy on one half
            of the questions.
        right: Share of the other half's right answers that are accepted.
        wrong: Share of its wrong ones.
        tokens: Forwarded tokens of the reward, an answer.
        seconds: Of the reward, an answer; None: nobody looked.
    """

    area: float
    within: Estimate
    best: Estimate
    gain: Comparison
    threshold: float
    right: float
    wrong: float
    tokens: float = 0.0
    seconds: float | None = None


def figures(
    asked: Sequence[Asked],
    scores: Scores,
    seed: int = 0,
    tokens: float = 0.0,
    seconds: float | None = None,
) -> Figures:
    """Return what the scores of a pool's answers come to."""
    rights = [[answer.right for answer in one.answers] for one in asked]
    chosen = [float(row[best_of(ones)]) for row, ones in zip(rights, scores, strict=True)]
    pairs = [ranked(*one) for one in zip(scores, rights, strict=True)]
    order = list(range(len(asked)))
    random.Random(f"halves-{seed}").shuffle(order)
    seen, unseen = order[: len(order) // 2], order[len(order) // 2 :]
    threshold = balanced(*_flat(scores, rights, seen))
    right, wrong = accepted(*_flat(scores, rights, unseen), threshold)
    return Figures(
        area=area(*_flat(scores, rights, order)),
        within=ratio([hits for hits, _ in pairs], [count for _, count in pairs]),
        best=estimate(chosen, share=True),
        gain=compare(chosen, [float(row[0]) for row in rights]),
        threshold=threshold,
        right=right,
        wrong=wrong,
        tokens=tokens,
        seconds=seconds,
    )


def _flat(
    scores: Scores, rights: Sequence[Sequence[bool]], places: Sequence[int]
) -> tuple[list[float], list[bool]]:
    return (
        [one for place in places for one in scores[place]],
        [one for place in places for one in rights[place]],
    )


def best_of(scores: Sequence[float]) -> int:
    """Return the place of the highest score, of equal ones the first."""
    return scores.index(max(scores))


def ranked(scores: Sequence[float], rights: Sequence[bool]) -> tuple[float, float]:
    """Return how many pairs of a right and a wrong answer are ranked rightly, and of how many."""
    wrong = sorted(score for score, right in zip(scores, rights, strict=True) if not right)
    hits = sum(
        (bisect_left(wrong, score) + bisect_right(wrong, score)) / 2
        for score, right in zip(scores, rights, strict=True)
        if right
    )
    return hits, float(len(wrong) * sum(rights))


def area(scores: Sequence[float], rights: Sequence[bool]) -> float:
    """Return the area under the receiver's curve; NaN where all are right, or all wrong."""
    hits, pairs = ranked(scores, rights)
    return hits / pairs if pairs else float("nan")


def accepted(
    scores: Sequence[float], rights: Sequence[bool], threshold: float
) -> tuple[float, float]:
    """Return the shares of right and of wrong answers above a threshold; NaN where there are none."""
    passed = [[one > threshold for one, is_right in _pairs(scores, rights) if is_right == kind]
              for kind in (True, False)]  # fmt: skip
    right, wrong = (sum(ones) / len(ones) if ones else float("nan") for ones in passed)
    return right, wrong


def balanced(scores: Sequence[float], rights: Sequence[bool]) -> float:
    """Return the threshold of the best balanced accuracy; of equal ones the highest.

    Halfway between two scores; NaN where all answers are right, or all wrong.
    """
    if len(set(rights)) < 2:
        return float("nan")
    steps = sorted({-1.0, *scores})
    between = [(one + other) / 2 for one, other in zip(steps, steps[1:], strict=False)]

    def accuracy(threshold: float) -> tuple[float, float]:
        right, wrong = accepted(scores, rights, threshold)
        return right - wrong, threshold

    return max(between or [-1.0], key=accuracy)


def _pairs(scores: Sequence[float], rights: Sequence[bool]) -> list[tuple[float, bool]]:
    return list(zip(scores, rights, strict=True))


@dataclass(frozen=True, kw_only=True)
class Baselines:
    """What a pool comes to without a reward.

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


def baselines(asked: Sequence[Asked]) -> Baselines:
    """Return what a pool comes to without a reward."""
    everything = [answer for one in asked for answer in one.answers]

    def voted(one: Asked) -> bool:
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
