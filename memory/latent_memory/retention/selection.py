"""Which traces to forget, which to prune, and how useful each is."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, bindparam, exists, func, select

from latent_memory.errors import TraceError
from latent_memory.shelf_names import UNRATED
from latent_memory.tables import ratings, shelves, traces
from latent_memory.trace_rows import to_time
from latent_memory.validation import check_name

_DAY = 24 * 3600 * 1_000_000  # microseconds

# A rated trace and its copy go together, so they are ranked as one: ``pair`` is the trace's id,
# the score is the rated one, and what used either used both.
_own, _as_copy, _copy = ratings.alias("own"), ratings.alias("as_copy"), traces.alias("copy")
RANKED = (
    select(
        *(traces.c.id, traces.c.shelf, traces.c.created, traces.c.neighbours),
        func.coalesce(_copy.c.score, traces.c.score).label("score"),
        func.coalesce(_as_copy.c.trace, traces.c.id).label("pair"),
        ((shelves.c.reward == UNRATED) & _own.c.trace.is_(None)).label("unrated"),
    )
    .join(shelves, shelves.c.id == traces.c.shelf)
    .outerjoin(_own, _own.c.trace == traces.c.id)
    .outerjoin(_copy, _copy.c.id == _own.c.rated)
    .outerjoin(_as_copy, _as_copy.c.rated == traces.c.id)
)


def in_chunks(ids: Sequence[int], size: int = 500) -> Iterator[Sequence[int]]:
    """Yield ``ids``, ``size`` at a time: the number of a statement's parameters is limited."""
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def matching(
    connection: Connection,
    *,
    ids: Iterable[int] | None = None,
    namespace: str | None = None,
    older_than: datetime | None = None,
) -> list[int]:
    """Return the ids of the traces that meet every condition given, ascending.

    Raises TraceError if none is given, or one makes no sense.
    """
    if ids is None and namespace is None and older_than is None:
        raise TraceError(
            "what to forget must be said, got no condition; give ids, namespace or older_than"
        )
    wanted = select(traces.c.id).order_by(traces.c.id)
    if namespace is not None:
        named = shelves.c.namespace == check_name("namespace", namespace)
        wanted = wanted.join(shelves, shelves.c.id == traces.c.shelf).where(named)
    if older_than is not None:
        if older_than.tzinfo is None:
            raise TraceError(
                f"a time must have a time zone, got {older_than!r}; for example datetime.now(UTC)"
            )
        wanted = wanted.where(traces.c.created < to_time(older_than))
    if ids is None:  # a rated trace's copy goes with it
        wanted = wanted.where(~exists().where(ratings.c.rated == traces.c.id))
        return list(connection.execute(wanted).scalars())
    these = wanted.where(traces.c.id.in_(bindparam("ids", expanding=True)))
    return [
        id_
        for chunk in in_chunks(sorted(set(ids)))
        for id_ in connection.execute(these, {"ids": chunk}).scalars()
    ]


def least_useful(
    connection: Connection,
    *,
    keep: int | None = None,
    max_age: timedelta | None = None,
    min_score: float | None = None,
    namespace: str | None = None,
) -> list[int]:
    """Return the ids of the traces that pruning forgets, ascending.

    These are all that are older than ``max_age`` or scored below ``min_score``, and of the rest
    what each shelf holds beyond ``keep``, least useful first (see ``usefulness``).
    Raises TraceError if no condition is given, or one makes no sense.
    """
    _check_conditions(keep, max_age, min_score)
    wanted = RANKED
    if namespace is not None:
        wanted = wanted.where(shelves.c.namespace == check_name("namespace", namespace))
    rows = connection.execute(wanted).all()
    oldest = 0 if max_age is None else to_time(datetime.now(UTC) - max_age)
    lowest = -1.0 if min_score is None else min_score
    good = {row.id for row in rows if row.created >= oldest and row.score >= lowest}
    kept = good if keep is None else _most_useful(rows, good, keep)
    pairs = {row.pair for row in rows if row.id in kept}
    return sorted(row.id for row in rows if row.pair not in pairs)


def _most_useful(rows: Sequence[Any], among: set[int], keep: int) -> set[int]:
    by_shelf: defaultdict[int, list[int]] = defaultdict(list)
    for row in most_useful_first(rows, to_time(datetime.now(UTC))):
        if row.id in among:
            by_shelf[row.shelf].append(row.id)
    return {id_ for shelf in by_shelf.values() for id_ in shelf[:keep]}


def _check_conditions(keep: int | None, max_age: timedelta | None, min_score: float | None) -> None:
    if keep is None and max_age is None and min_score is None:
        raise TraceError(
            "what to prune must be said, got no condition; give keep, max_age or min_score, in a "
            "command --keep, --max-age or --min-score"
        )
    if keep is not None and keep < 0:
        raise TraceError(f"keep must be 0 or more traces a shelf, got {keep!r}; 0 keeps none")
    if max_age is not None and max_age < timedelta(0):
        raise TraceError(
            f"max_age must not be negative, got {max_age!r}; for example timedelta(days=30)"
        )
    if min_score is not None and not -1 <= min_score <= 0:
        raise TraceError(
            f"min_score must lie in [-1, 0], as scores do, got {min_score!r}; -0.5 erases what "
            "scored less than half of what can be had"
        )


def usefulness(*, score: float, uses: int, age: int) -> float:
    """Return how useful a trace is: ``(1 + score / 2) * (1 + uses) / (1 + age)``, age in days.

    The fraction is how often a day a warm start from the trace has given a call's answer; one use
    and one day are added, so that a new trace gets its chance. A use of a trace whose answer was
    sure (score 0) counts twice as much as that of one whose answer failed (score -1).

    Args:
        score: Reward of its answer, in [-1, 0].
        uses: How many remembered answers came from a warm start that it was part of.
        age: Microseconds since it was stored.
    """
    return (1 + score / 2) * (1 + uses) / (1 + max(age, 0) / _DAY)


def most_useful_first(rows: Sequence[Any], now: int) -> list[Any]:
    """Sort a namespace's rows of `RANKED`; ties: the newer first.

    Answers that wait for a rating come last: nothing was learned from them.
    """
    pairs = {row.id: row.pair for row in rows}
    uses = Counter(pairs.get(used, used) for row in rows for used in json.loads(row.neighbours))

    def rank(row: Any) -> tuple[bool, float, int, int]:
        value = usefulness(score=row.score, uses=uses[row.pair], age=now - row.created)
        return bool(row.unrated), -value, -row.pair, -row.id

    return sorted(rows, key=rank)
