"""A memory in figures: sums by stretches of days, computed by the database.

Only the narrow table of traces is read, so a hundred thousand of them take well under a second.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Integer, Select, case, cast, func, select

from latent_memory.rows import from_time
from latent_memory.sqlite import Database
from latent_memory.tables import shelves, traces

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

    traces: int
    oldest: datetime | None
    newest: datetime | None
    whole: Stretch | None
    days: int
    stretches: Sequence[Stretch]
    scores: Sequence[int]
    steps: Mapping[int, int]
    stopped: Mapping[str, int]


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
    ends = select(func.min(traces.c.created), func.max(traces.c.created), func.count())
    oldest, newest, count = connection.execute(_within(ends, namespace)).one()
    if not count:
        return Overview(
            traces=0, oldest=None, newest=None, whole=None, days=1, stretches=(),
            scores=(0,) * _BINS, steps={}, stopped={},
        )  # fmt: skip
    first, last = oldest // _DAY, newest // _DAY
    days = -(-(last - first + 1) // most)
    found = _sums(connection, namespace, (traces.c.created - first * _DAY) // (days * _DAY))
    (whole,) = _sums(connection, namespace, traces.c.created * 0).values()
    begins = from_time(first * _DAY).date()
    return Overview(
        traces=count,
        oldest=from_time(oldest),
        newest=from_time(newest),
        whole=Stretch(first=begins, **whole),
        days=days,
        stretches=[
            Stretch(first=begins + timedelta(days=days * at), **found.get(at, {}))
            for at in range((last - first) // days + 1)
        ],
        scores=_scores(connection, namespace),
        steps=dict(sorted(_counts(connection, namespace, traces.c.steps).items())),
        stopped=_counts(connection, namespace, traces.c.stopped),
    )


def _within(wanted: Select[Any], namespace: str | None) -> Select[Any]:
    wanted = wanted.select_from(traces)
    if namespace is None:
        return wanted
    return wanted.join(shelves, shelves.c.id == traces.c.shelf).where(
        shelves.c.namespace == namespace
    )


def _sums(
    connection: Connection, namespace: str | None, group: ColumnElement[Any]
) -> dict[int, dict[str, Any]]:
    key = group.label("key")
    warm = (traces.c.neighbours != "[]") | traces.c.prior.is_not(None)
    wanted = select(
        key,
        func.count().label("traces"),
        func.sum(case((warm, 1), else_=0)).label("warm"),
        func.sum(case((traces.c.steps == 0, 1), else_=0)).label("at_once"),
        func.avg(traces.c.steps).label("steps"),
        func.avg(traces.c.score).label("score"),
    ).group_by(key)
    rows = [dict(row) for row in connection.execute(_within(wanted, namespace)).mappings()]
    return {row.pop("key"): row for row in rows}


def _scores(connection: Connection, namespace: str | None) -> list[int]:
    found = _counts(connection, namespace, cast((traces.c.score + 1) * _BINS, Integer))
    bins = [found.get(at, 0) for at in range(_BINS)]
    bins[-1] += found.get(_BINS, 0)  # a reward of exactly 0
    return bins


def _counts(
    connection: Connection, namespace: str | None, group: ColumnElement[Any]
) -> dict[Any, int]:
    key = group.label("key")
    wanted = select(key, func.count()).group_by(key).order_by(func.count().desc())
    return {row[0]: row[1] for row in connection.execute(_within(wanted, namespace))}
