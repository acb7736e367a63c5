"""The record of erasures: when and why traces were erased, without what they held."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, insert, select, update

from latent_memory.tables import erasures
from latent_memory.trace_rows import from_time, to_time

EVICTED, EXPIRED, PRUNED, FORGOTTEN = "evicted", "expired", "pruned", "forgotten"
WISHED, FOR_ROOM, FOR_AGE = 0, 1, 2  # why a trace was erased, as ``deletions.evicted`` has it
_TOGETHER = timedelta(days=1)  # evictions are frequent: those of a day share an entry


@dataclass(frozen=True, kw_only=True, slots=True)
class Erasure:
    """An entry: traces were erased.

    Attributes:
        id: Its number.
        began: When the first of them was erased (UTC).
        ended: When the last of them was erased (UTC).
        reason: ``evicted`` (capacity), ``expired`` (age), ``pruned``, or ``forgotten by`` and
            the conditions given: ids, namespace, age.
        traces: How many there were.
    """

    id: int
    began: datetime
    ended: datetime
    reason: str
    traces: int


_INSERT = insert(erasures).returning(erasures.c.id)
_ADD = (
    update(erasures)
    .where(erasures.c.id == bindparam("entry"))
    .values(
        ended=bindparam("now"),
        traces=erasures.c.traces + bindparam("count"),
        emptied=erasures.c.emptied + bindparam("count"),
    )
)
_TODAY = select(func.max(erasures.c.id)).where(
    erasures.c.reason == bindparam("reason"), erasures.c.began > bindparam("since")
)
_EMPTIED = select(func.coalesce(func.sum(erasures.c.emptied), 0))


def note(
    connection: Connection, reason: str, count: int, now: datetime, entry: int | None = None
) -> int:
    """Note that ``count`` traces were erased; return the entry, which the next call may extend."""
    if entry is None and reason in (EVICTED, EXPIRED):
        since = to_time(now - _TOGETHER)
        entry = connection.scalar(_TODAY, {"reason": reason, "since": since})
    if entry is not None:
        connection.execute(_ADD, {"entry": entry, "now": to_time(now), "count": count})
        return entry
    row = {"reason": reason, "began": to_time(now), "ended": to_time(now)}
    return connection.execute(_INSERT, {**row, "traces": count, "emptied": count}).scalar_one()


def count_emptied(connection: Connection) -> int:
    """Count the erased traces whose emptied rows still take space in the file."""
    return int(connection.scalar(_EMPTIED) or 0)


def none_emptied(connection: Connection) -> None:
    """Note that the file was rewritten."""
    connection.execute(update(erasures).values(emptied=0))


def list_erasures(connection: Connection, limit: int) -> list[Erasure]:
    """List entries, newest first."""
    rows = connection.execute(select(erasures).order_by(erasures.c.id.desc()).limit(limit))
    return [
        Erasure(
            began=from_time(row["began"]),
            ended=from_time(row["ended"]),
            **{name: row[name] for name in ("id", "reason", "traces")},
        )
        for row in rows.mappings()
    ]
