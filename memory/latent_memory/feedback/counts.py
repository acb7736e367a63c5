"""Ratings in figures: how many, up and down, by day."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import ColumnElement, Connection, case, func, select

from latent_memory.database import Database
from latent_memory.feedback.values import UP_ABOVE
from latent_memory.tables import feedback, ratings, shelves, traces
from latent_memory.trace_rows import from_time

_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True, kw_only=True, slots=True)
class RatingsOfDay:
    """Feedback of one day (UTC): pieces that say right, and pieces that say wrong."""

    day: date
    up: int
    down: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratings:
    """The ratings of a memory, or of one namespace.

    Attributes:
        up: Answers whose effective score is above 0.5.
        down: All other rated answers.
        waiting: Corrections that no model has read yet.
        days: Pieces of feedback by day, oldest first; days without any are left out.
    """

    up: int = 0
    down: int = 0
    waiting: int = 0
    days: Sequence[RatingsOfDay] = ()


def read_ratings(database: Database, *, namespace: str | None = None) -> Ratings:
    """Count the ratings of a memory, or of one namespace."""
    up, of_answers = feedback.c.score > UP_ABOVE, ratings.c.reward > UP_ABOVE - 1
    day = (feedback.c.given // _DAY).label("day")
    with database.read() as connection:
        sums = func.count(), _sum(of_answers), _sum(ratings.c.unread == 1)
        ((rated, right, waiting),) = _rows(connection, namespace, ratings, *sums)
        days = _rows(connection, namespace, feedback, day, _sum(up), func.count(), by=day)
    return Ratings(
        up=right,
        down=rated - right,
        waiting=waiting,
        days=[
            RatingsOfDay(day=from_time(number * _DAY).date(), up=said, down=pieces - said)
            for number, said, pieces in sorted(days)
        ],
    )


def _sum(flag: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(case((flag, 1), else_=0)), 0)


def _rows(
    connection: Connection,
    namespace: str | None,
    table: Any,
    *columns: ColumnElement[Any],
    by: ColumnElement[Any] | None = None,
) -> list[Any]:
    wanted = select(*columns).select_from(table).join(traces, traces.c.id == table.c.trace)
    if namespace is not None:
        wanted = wanted.join(shelves, shelves.c.id == traces.c.shelf)
        wanted = wanted.where(shelves.c.namespace == namespace)
    rows = connection.execute(wanted if by is None else wanted.group_by(by)).all()
    return [tuple(row) for row in rows]
