"""What a memory keeps at most; it is stored in the memory itself.

So all processes hold to the same limits: those that answer, and the one that consolidates.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, insert, select

from latent_memory.errors import RateError, TraceError
from latent_memory.rows import to_time
from latent_memory.tables import limits, shelves, traces

CAPACITY, TOTAL = 100_000, 1_000_000
HOUR = timedelta(hours=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a memory keeps at most; None: no limit.

    Attributes:
        capacity: Traces of a namespace; what is beyond it is evicted, least useful first.
        max_age: Whole seconds; what is older is not recalled, and erased.
        hourly: New traces of a namespace within an hour; what is beyond it is not kept.
        total: Traces of all namespaces; what is beyond it is evicted from the largest of them. A
            writer counts them after each thousandth part of it.
    """

    capacity: int | None = CAPACITY
    max_age: timedelta | None = None
    hourly: int | None = None
    total: int | None = TOTAL

    def __post_init__(self) -> None:
        for name in ("capacity", "hourly", "total"):
            most = getattr(self, name)
            if most is not None and (isinstance(most, bool) or most < 1):
                raise TraceError(f"{name} must be at least 1 trace, got {most!r}; None: no limit")
        if self.max_age is not None and self.max_age < timedelta(seconds=1):
            raise TraceError(
                f"max_age must be at least a second, got {self.max_age!r}; None: no limit"
            )

    def oldest(self, now: datetime) -> int:
        """Return the time, as rows have it, before which a trace is too old."""
        return 0 if self.max_age is None else to_time(now - self.max_age)


DEFAULT = Limits()

_READ = select(limits)
_SHELVES = select(shelves.c.id).where(shelves.c.namespace == bindparam("namespace"))
_LATEST = (
    select(traces.c.created)
    .where(traces.c.shelf == bindparam("shelf"))
    .order_by(traces.c.id.desc())
    .limit(bindparam("most"))
)


def read_limits(connection: Connection) -> Limits:
    """Read the limits; where none were ever set, the default ones."""
    row = connection.execute(_READ).one_or_none()
    if row is None:
        return DEFAULT
    age = None if row.max_age is None else timedelta(seconds=row.max_age)
    return Limits(capacity=row.capacity, max_age=age, hourly=row.hourly, total=row.total)


def write_limits(connection: Connection, wanted: Limits) -> None:
    """Put limits in the place of those that held."""
    age = None if wanted.max_age is None else int(wanted.max_age.total_seconds())
    row = {"capacity": wanted.capacity, "hourly": wanted.hourly, "total": wanted.total}
    connection.execute(delete(limits))
    connection.execute(insert(limits), {"id": 1, "max_age": age, **row})


def check_rate(connection: Connection, held: Limits, namespace: str, now: datetime) -> None:
    """Raise RateError if a namespace may have no further trace yet."""
    if held.hourly is None:
        return
    since, latest = to_time(now - HOUR), 0
    for shelf in connection.execute(_SHELVES, {"namespace": namespace}).scalars().all():
        stored = connection.execute(_LATEST, {"shelf": shelf, "most": held.hourly}).scalars()
        latest += sum(created > since for created in stored)
    if latest >= held.hourly:
        raise RateError(
            f"a namespace may have at most {held.hourly} new traces an hour, but {namespace!r} "
            f"got {latest + 1}; it was not kept; wait, or allow more with: latent-agent memory "
            "limits --hourly"
        )
