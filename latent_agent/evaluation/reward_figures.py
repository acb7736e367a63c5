"""How well a reward tells right answers from wrong ones, and which it would accept."""

import random
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from latent_agent.evaluation.statistics import Comparison, Estimate, compare, estimate, ratio

Scores = Sequence[Sequence[float]]
"""One row a question, with a score in [-1, 0] for each of its answers."""
Rights = Sequence[Sequence[bool]]
"""One row a question: which of its answers are right; the first one is the greedy answer."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A reward on sampled answers.

    Attributes:
        area: Of all pairs of a right and a wrong answer, of whichever questions, the share that is
            ranked rightly; ties count half. NaN: there is no pair.
        within: The same over pairs of one question.
        best: Questions whose highest score is a right answer's; of equal ones the first counts.
        gain: That less the greedy answer.
        threshold: Above it answers are accepted: it maximises the balanced accuracy on one half
            of the questions, drawn by a seed. NaN: that half has answers of one kind alone.
        agrees: Share of the other half's answers on which accepting and truth agree.
        right: Share of the other half's right answers that are accepted.
        wrong: Share of its wrong ones.
        precision: Share of right ones among those of it that are accepted; NaN: none are.
        tokens: Forwarded tokens of the reward, an answer.
        seconds: Of the reward, an answer; None: nobody looked.
    """

    area: float
    within: Estimate
    best: Estimate
    gain: Comparison
    threshold: float
    agrees: Estimate
    right: float
    wrong: float
    precision: float
    tokens: float = 0.0
    seconds: float | None = None


def figures(
    rights: Rights,
    scores: Scores,
    seed: int = 0,
    tokens: float = 0.0,
    seconds: float | None = None,
) -> Figures:
    """Return what the scores of sampled answers come to."""
    chosen = [float(row[best_of(ones)]) for row, ones in zip(rights, scores, strict=True)]
    pairs = [ranked(*one) for one in zip(scores, rights, strict=True)]
    seen, unseen = halves(len(rights), seed)
    threshold = balanced(*_flat(scores, rights, seen))
    right, wrong = accepted(*_flat(scores, rights, unseen), threshold)
    known = unseen if threshold == threshold else []
    agreeing = [
        [
            (score > threshold) == is_right
            for score, is_right in zip(scores[at], rights[at], strict=True)
        ]
        for at in known
    ]
    return Figures(
        area=area(*_flat(scores, rights, [*seen, *unseen])),
        within=ratio([hits for hits, _ in pairs], [count for _, count in pairs]),
        best=estimate(chosen, share=True),
        gain=compare(chosen, [float(row[0]) for row in rights]),
        threshold=threshold,
        agrees=ratio([float(sum(row)) for row in agreeing], [float(len(row)) for row in agreeing]),
        right=right,
        wrong=wrong,
        precision=_precision(*_flat(scores, rights, known), threshold),
        tokens=tokens,
        seconds=seconds,
    )


def halves(count: int, seed: int = 0) -> tuple[list[int], list[int]]:
    """Return the places of the questions that thresholds are found on, and of those they are not.

    Args:
        count: How many questions there are.
        seed: Of the draw.
    """
    order = list(range(count))
    random.Random(f"halves-{seed}").shuffle(order)
    return order[: count // 2], order[count // 2 :]


def _precision(scores: Sequence[float], rights: Sequence[bool], threshold: float) -> float:
    taken = [is_right for score, is_right in zip(scores, rights, strict=True) if score > threshold]
    return sum(taken) / len(taken) if taken else float("nan")


def _flat(scores: Scores, rights: Rights, places: Sequence[int]) -> tuple[list[float], list[bool]]:
    """Return the scores and the truth of the answers to some questions."""
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
    """Return the shares of right and of wrong answers above a threshold; NaN where none are.

    At a threshold of NaN nothing is known: both are NaN.
    """
    kinds: dict[bool, list[bool]] = {True: [], False: []}
    for score, right in zip(scores, rights, strict=True):
        kinds[right].append(score > threshold)
    known = threshold == threshold
    right, wrong = (
        sum(kinds[kind]) / len(kinds[kind]) if known and kinds[kind] else float("nan")
        for kind in (True, False)
    )
    return right, wrong


def balanced(scores: Sequence[float], rights: Sequence[bool]) -> float:
    """Return the threshold of the best balanced accuracy; of equal ones the highest.

    It lies halfway between two scores. NaN where all answers are right, or all wrong.
    """
    if len(set(rights)) < 2:
        return float("nan")
    between = [(one + other) / 2 for one, other in pairwise(sorted({-1.0, *scores}))]

    def accuracy(threshold: float) -> tuple[float, float]:
        right, wrong = accepted(scores, rights, threshold)
        return right - wrong, threshold

    return max(between or [-1.0], key=accuracy)
