"""How useful a trace is: what goes first where there is no room for all.

``(1 + score / 2) * (1 + uses) / (1 + age)``, with the age in days. The fraction is how often a
day a warm start from the trace has given a call's answer; one use and one day are granted in
advance, so that a new trace gets its chance. A use of a trace whose answer was sure (score 0)
counts twice as much as that of one whose answer failed (score -1).
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

_DAY = 24 * 3600 * 1_000_000  # microseconds


def usefulness(*, score: float, uses: int, age: int) -> float:
    """Return how useful a trace is.

    Args:
        score: Reward of its answer, in [-1, 0].
        uses: How many remembered answers came from a warm start that it was part of.
        age: Microseconds since it was stored.
    """
    return (1 + score / 2) * (1 + uses) / (1 + max(age, 0) / _DAY)


def most_useful_first(rows: Sequence[Any], now: int) -> list[Any]:
    """Sort a namespace's ``id``, ``created``, ``score``, ``neighbours``; ties: the newer first."""
    uses = Counter(used for row in rows for used in json.loads(row.neighbours))

    def rank(row: Any) -> tuple[float, int]:
        value = usefulness(score=row.score, uses=uses[row.id], age=now - row.created)
        return -value, -row.id

    return sorted(rows, key=rank)
