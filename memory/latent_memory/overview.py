"""A memory in figures: sums by periods of days, computed by the database.

Only the narrow table of traces is read: a hundred thousand of them take well under a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, case, cast, exists, func, select

from latent_memory.database import Database
from latent_memory.shelf_names import FEEDBACK, UNRATED
from latent_memory.tables import ratings, shelves, traces
from latent_memory.trace_rows import from_time

_DAY = 86_400_000_000  # microseconds
_BINS = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretch:
    """Some days in a row.

    Attributes:
        first: The first day (UTC).
        traces: Traces stored in it.
        warm: How many of them neighbours or a prior warm-started.
        at_once: How many needed no gradient step.
        steps: Mean gradient steps; 0 where there are no traces.
        score: Mean reward of the answers; 0 where there are no traces.
    """

    first: date
    traces: int = 0
    warm: int = 0
    at_once: int = 0
    steps: float = 0.0
    score: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """A memory, or one namespace of it, in figures.

    Attributes:
        traces: How many traces.
        oldest: When the oldest was stored (UTC).
        newest: When the newest was stored.
        whole: Everything as one stretch; None without traces.
        days: How many days a stretch has.
        stretches: All days from the oldest trace to the newest, empty ones included.
        scores: Traces by reward, in ten equal parts of [-1, 0], lowest first.
        steps: Traces by gradient steps.
        stopped: Traces by why the search ended, the commonest first.
    """

    traces: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    whole: Stretch | None = None
    days: int = 1
    stretches: Sequence[Stretch] = ()
    scores: Sequence[int] = (0,) * _BINS
    steps: Mapping[int, int] = field(default_factory=dict[int, int])
    stopped: Mapping[str, int] = field(default_factory=dict[str, int])


def overview(database: Database, *, namespace: str | None = None, most: int = 60) -> Overview:
    """Sum a memory up.

    Args:
        database: The memory's database.
        namespace: Only this one.
        most: Stretches at most: the more days there are, the longer each is.
    """
    with database.read() as connection:
        return _read(connection, namespace, most)


def _read(connection: Connection, namespace: str | None, most: int) -> Overview:
    ends = (func.min(traces.c.created), func.max(traces.c.created), func.count())
    ((oldest, newest, count),) = _rows(connection, namespace, *ends)
    if not count:
        return Overview()
    first, last = oldest // _DAY, newest // _DAY
    days = -(-(last - first + 1) // most)
    sums = _sums(connection, namespace, (traces.c.created - first * _DAY) // (days * _DAY))
    (whole,) = _sums(connection, namespace, traces.c.created * 0).values()
    begins = from_time(first * _DAY).date()
    return Overview(
        traces=count,
        oldest=from_time(oldest),
        newest=from_time(newest),
        whole=Stretch(first=begins, **whole),
        days=days,
        stretches=[
            Stretch(first=begins + timedelta(days=days * at), **sums.get(at, {}))
            for at in range((last - first) // days + 1)
        ],
        scores=_scores(connection, namespace),
        steps=dict(sorted(_counts(connection, namespace, traces.c.steps).items())),
        stopped=_counts(connection, namespace, traces.c.stopped),
    )


def _rows(
    connection: Connection,
    namespace: str | None,
    *columns: ColumnElement[Any],
    by: ColumnElement[Any] | None = None,
) -> Sequence[Any]:
    """Return the columns of all traces, or one namespace's, summed up by a key."""
    # Rated copies would count twice, and nothing was learnt from answers that wait for a rating.
    rated = exists().where(ratings.c.trace == traces.c.id)
    wanted = (
        select(*columns)
        .select_from(traces)
        .join(shelves, shelves.c.id == traces.c.shelf)
        .where(shelves.c.reward != FEEDBACK, (shelves.c.reward != UNRATED) | rated)
    )
    if namespace is not None:
        wanted = wanted.where(shelves.c.namespace == namespace)
    return connection.execute(wanted if by is None else wanted.group_by(by)).all()


def _sums(
    connection: Connection, namespace: str | None, group: ColumnElement[Any]
) -> dict[int, dict[str, Any]]:
    """Return the figures of a stretch for each value of a key."""
    key = group.label("key")
    warm = (traces.c.neighbours != "[]") | traces.c.prior.is_not(None)
    sums = {
        "traces": func.count(),
        "warm": func.sum(case((warm, 1), else_=0)),
        "at_once": func.sum(case((traces.c.steps == 0, 1), else_=0)),
        "steps": func.avg(cast(traces.c.steps, Float)),
        "score": func.avg(traces.c.score),
    }
    rows = _rows(connection, namespace, key, *sums.values(), by=key)
    return {row[0]: dict(zip(sums, row[1:], strict=True)) for row in rows}


def _scores(connection: Connection, namespace: str | None) -> list[int]:
    # Told apart by their ends: a cast to whole numbers rounds in one database, and cuts in another.
    ends = [((traces.c.score + 1) * _BINS < at + 1, at) for at in range(_BINS - 1)]
    counts = _counts(connection, namespace, case(*ends, else_=_BINS - 1))
    return [counts.get(at, 0) for at in range(_BINS)]


def _counts(
    connection: Connection, namespace: str | None, group: ColumnElement[Any]
) -> dict[Any, int]:
    """Count the traces for each value of a key, the commonest first."""
    key = group.label("key")
    rows = _rows(connection, namespace, key, func.count(), by=key)
    return {row[0]: row[1] for row in sorted(rows, key=lambda row: -row[1])}
