"""Two ways to look further where the plain answer is wrong, in the time that a call may take."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from latent_agent.evaluation.bench import Bench, attempt
from latent_agent.evaluation.checking import KnownTruth
from latent_agent.evaluation.items import Item
from latent_agent.evaluation.methods import METHODS
from latent_agent.evaluation.pool_answers import write_answers
from latent_agent.evaluation.records import Record
from latent_agent.evaluation.statistics import Comparison, Estimate, compare, estimate
from latent_agent.nights.watch import Halt

PUBLISHED: Mapping[str, Any] = {"fraction": 0.2, "rest": "kept", "learning_rate": 0.03}
"""LatentSeek's own search, over our default settings."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """A round's cost, on one question, nothing else running.

    Attributes:
        width: Answers of the round; 1 is the plain answer alone.
        seconds: What writing them takes.
        tokens: What it forwards.
    """

    width: int
    seconds: float
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What rounds cost, on a few questions.

    Attributes:
        questions: How many.
        seconds: Of a plain answer.
        tokens: Of a plain answer.
        ratios: By width, a round's seconds and tokens in plain answers.
    """

    questions: int
    seconds: float
    tokens: float
    ratios: Mapping[int, tuple[float, float]]


def timed(
    bench: Bench, item: Item, pool: Mapping[str, Any], widths: Sequence[int], halt: Halt
) -> list[Timed]:
    """Write the plain answer, then a round of each width, one after the other.

    Raises:
        CallCancelled: If the time is over before all are written.
    """
    found: list[Timed] = []
    for width in (1, *widths):
        began = time.perf_counter()
        _, tokens = write_answers(bench.model, item, pool, bench.ending, halt, width)
        found.append(Timed(width=width, seconds=time.perf_counter() - began, tokens=tokens))
    return found


def costs(rows: Sequence[Sequence[Timed]]) -> Costs | None:
    """Return what rounds cost, over all questions that were timed; None: none was."""
    if not rows:
        return None
    plain_seconds = sum(row[0].seconds for row in rows)
    plain_tokens = sum(row[0].tokens for row in rows)
    ratios = {
        one.width: (
            sum(row[place].seconds for row in rows) / plain_seconds,
            sum(row[place].tokens for row in rows) / plain_tokens,
        )
        for place, one in enumerate(rows[0])
    }
    count = len(rows)
    return Costs(
        questions=count, seconds=plain_seconds / count, tokens=plain_tokens / count, ratios=ratios
    )


@dataclass(frozen=True, kw_only=True)
class Searched:
    """LatentSeek on one question.

    Attributes:
        key: The question.
        right: Whether what it returns is right; one that was cut off is not.
        rounds: Its rounds.
        seconds: What it took.
        tokens: What it forwarded.
    """

    key: str
    right: bool
    rounds: int
    seconds: float
    tokens: int


def latentseek(bench: Bench, item: Item, seconds: float, *, by_truth: bool) -> Searched | None:
    """Search as published, for so many seconds; None: it failed, or the time is over.

    Args:
        bench: With the reward that judges.
        item: What is asked.
        seconds: What the whole call may take.
        by_truth: Let the known truth judge.
    """
    settings = replace(bench.settings, timeout=seconds)
    reward = KnownTruth(bench.checker, item, whole=True) if by_truth else bench.reward
    blank = Record(method="latentseek", seed=0, item=item.key, place=0)
    searching = replace(bench, settings=settings, reward=reward)
    record = attempt(METHODS["latentseek"], searching, item, blank)
    if bench.cancelled.is_set() or (record.error is not None and not record.points):
        return None
    whole = [point.complete for point in record.points if point.text == record.text]
    return Searched(
        key=item.key,
        right=record.right and bool(whole) and whole[-1],
        rounds=record.steps,
        seconds=record.seconds,
        tokens=record.cost,
    )


@dataclass(frozen=True, kw_only=True)
class Solved:
    """Both searches on the questions whose plain answer is wrong, the truth for a judge.

    Attributes:
        questions: How many were searched.
        width: Answers of the round of samples, the plain one among them; 1: none fits the time.
        samples: Share that a round of samples holds a right answer to.
        latentseek: Share that LatentSeek puts right.
        difference: LatentSeek less samples.
        rounds: Rounds that LatentSeek's time holds, in the mean.
        seconds: What LatentSeek takes, in plain answers.
        tokens: What it forwards, in plain answers.
    """

    questions: int
    width: int
    samples: Estimate
    latentseek: Estimate
    difference: Comparison
    rounds: float
    seconds: float
    tokens: float


def solved(
    found: Sequence[Searched], rights: Mapping[str, Sequence[bool]], width: int, plain: Costs
) -> Solved | None:
    """Compare LatentSeek with the samples that are there; None: nothing was searched."""
    if not found:
        return None
    by_search = [float(one.right) for one in found]
    by_samples = [float(any(rights[one.key][:width])) for one in found]
    return Solved(
        questions=len(found),
        width=width,
        samples=estimate(by_samples, share=True),
        latentseek=estimate(by_search, share=True),
        difference=compare(by_search, by_samples),
        rounds=fmean([one.rounds for one in found]),
        seconds=fmean([one.seconds for one in found]) / plain.seconds,
        tokens=fmean([one.tokens for one in found]) / plain.tokens,
    )
