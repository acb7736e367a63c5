"""What a memory keeps at most: stored in the memory itself, so that all processes agree on it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from latent_memory.errors import RateError, TraceError
from latent_memory.tables import admissions, limits, shelves, traces
from latent_memory.trace_rows import to_time

CAPACITY, TOTAL = 100_000, 1_000_000
_MINUTE = 60_000_000  # microseconds
_HOUR = 60  # minutes


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a memory keeps at most; None: no limit.

    Attributes:
        capacity: Traces of a namespace; what is beyond it is evicted, least useful first.
        max_age: Whole seconds; what is older is not recalled, and erased.
        hourly: New traces of a namespace within an hour, to the minute, evicted ones among them;
            what is beyond it is not kept. They are counted while the limit is set.
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
_LATEST = (
    select(func.coalesce(func.sum(admissions.c.traces), 0))
    .join(shelves, shelves.c.id == admissions.c.shelf)
    .where(
        shelves.c.namespace == bindparam("namespace"),
        admissions.c.minute.between(bindparam("since"), bindparam("now")),
    )
)
_SHELF = select(traces.c.shelf).where(traces.c.id == bindparam("trace"))
# Beside the hour: what is too old, or was dated ahead by a clock that was set back.
_FORGET = delete(admissions).where(
    admissions.c.shelf == bindparam("of"),
    ~admissions.c.minute.between(bindparam("since"), bindparam("now")),
)
_COUNT = (
    update(admissions)
    .where(admissions.c.shelf == bindparam("of"), admissions.c.minute == bindparam("now"))
    .values(traces=admissions.c.traces + 1)
)


def read_limits(connection: Connection) -> Limits:
    """Read the limits; where none were ever set, the default ones."""
    row = connection.execute(_READ).one_or_none()
    if row is None:
        return DEFAULT
    age = None if row.max_age is None else timedelta(seconds=row.max_age)
    return Limits(capacity=row.capacity, max_age=age, hourly=row.hourly, total=row.total)


def write_limits(connection: Connection, wanted: Limits) -> None:
    """Replace the limits."""
    age = None if wanted.max_age is None else int(wanted.max_age.total_seconds())
    row = {"capacity": wanted.capacity, "hourly": wanted.hourly, "total": wanted.total}
    connection.execute(delete(limits))
    connection.execute(insert(limits), {"id": 1, "max_age": age, **row})


def check_rate(connection: Connection, held: Limits, namespace: str, now: datetime) -> None:
    """Raise RateError if a namespace may have no further trace yet."""
    if held.hourly is None:
        return
    latest = int(connection.scalar(_LATEST, {"namespace": namespace, **_last_hour(now)}) or 0)
    if latest >= held.hourly:
        raise RateError(
            f"a namespace may have at most {held.hourly} new traces an hour, but {namespace!r} "
            f"got {latest + 1}; it was not kept; wait, or allow more with: latent-agent memory "
            "limits --hourly"
        )


def count_admitted(connection: Connection, held: Limits, trace: int, now: datetime) -> None:
    """Count a new trace for its namespace's rate; nothing is written where there is no limit."""
    if held.hourly is None:
        return
    shelf, hour = connection.execute(_SHELF, {"trace": trace}).scalar_one(), _last_hour(now)
    connection.execute(_FORGET, {"of": shelf, **hour})
    if connection.execute(_COUNT, {"of": shelf, "now": hour["now"]}).rowcount == 0:
        first = {"shelf": shelf, "minute": hour["now"], "traces": 1}
        connection.execute(insert(admissions), first)


def _last_hour(now: datetime) -> dict[str, int]:
    minute = to_time(now) // _MINUTE
    return {"since": minute - _HOUR, "now": minute}
