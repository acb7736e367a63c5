"""Error bars and paired tests over questions.

Several seeds of one question are no new questions: they are averaged first, and questions are what
is resampled.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

_RESAMPLES = 2000
_BLOCK = 500  # resamples held in memory at a time


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One method less another, question by question.

    Attributes:
        difference: Mean difference, with its bootstrap interval.
        better: Questions on which the first does better.
        worse: Questions on which it does worse.
        p: Of the exact sign test over these, two-sided; McNemar's exact test for one seed.
    """

    difference: Estimate
    better: int
    worse: int
    p: float


def estimate(values: Sequence[float], *, share: bool = False) -> Estimate:
    """Return the mean of one value a question, with a 95% percentile bootstrap interval.

    Args:
        values: One for each question.
        share: The values are shares of right answers. Where all are the same a bootstrap knows no
            doubt, so that Wilson's interval takes its place.
    """
    row = np.asarray(values, float)
    if not len(row):
        return Estimate(mean=math.nan, low=math.nan, high=math.nan)
    mean = float(row.mean())
    if (row == row[0]).all():
        if share and mean in (0.0, 1.0):
            return _wilson(mean, len(row))
        return Estimate(mean=mean, low=mean, high=mean)
    return _bootstrapped(mean, (row,), np.mean)


def _bootstrapped(mean: float, samples: tuple[Any, ...], figure: Callable[..., Any]) -> Estimate:
    """Return a figure of samples, paired if there are two, with its interval over questions."""
    interval = stats.bootstrap(
        samples,
        figure,
        paired=len(samples) > 1,
        n_resamples=_RESAMPLES,
        batch=_BLOCK,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Estimate(mean=mean, low=float(interval.low), high=float(interval.high))


def _of_all(hits: Any, counts: Any, axis: int = -1) -> Any:
    return hits.sum(axis=axis) / counts.sum(axis=axis)


def _wilson(mean: float, count: int) -> Estimate:
    interval = stats.binomtest(round(mean * count), count).proportion_ci(method="wilson")
    return Estimate(mean=mean, low=float(interval.low), high=float(interval.high))


def compare(one: Sequence[float], other: Sequence[float]) -> Comparison:
    """Compare two methods on the same questions, in the same order."""
    gaps = np.asarray(one, float) - np.asarray(other, float)
    better, worse = int((gaps > 0).sum()), int((gaps < 0).sum())
    p = stats.binomtest(better, better + worse).pvalue if better + worse else 1.0
    return Comparison(difference=estimate(gaps.tolist()), better=better, worse=worse, p=float(p))


def ratio(hits: Sequence[float], counts: Sequence[float]) -> Estimate:
    """Return all hits over all counts, with a bootstrap interval over questions.

    Args:
        hits: Of each question.
        counts: Of each question, out of how many. Questions without any do not count.
    """
    alls = np.asarray(counts, float)
    ones, alls = np.asarray(hits, float)[alls > 0], alls[alls > 0]
    if not len(alls):
        return Estimate(mean=math.nan, low=math.nan, high=math.nan)
    mean = float(ones.sum() / alls.sum())
    if mean in (0.0, 1.0) or len(alls) == 1:
        # Answers to one question hang together, so that questions are what counts.
        return _wilson(mean, len(alls))
    return _bootstrapped(mean, (ones, alls), _of_all)
