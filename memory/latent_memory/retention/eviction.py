"""What to evict when a memory is full: of one namespace, and of all together."""

from collections.abc import Collection, Mapping, Set
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select

from latent_memory.retention.selection import RANKED, most_useful_first
from latent_memory.tables import shelves, traces
from latent_memory.trace_rows import to_time

_ROOM = 20  # a twentieth of what may be held is evicted at once

# Two queries in one: SQLite looks a single extreme up, but reads all rows for two.
_SPAN = select(
    select(func.max(traces.c.id)).scalar_subquery()
    - select(func.min(traces.c.id)).scalar_subquery()
    + 1
)
_ALL = select(func.count()).select_from(traces)
_COUNTS = (
    select(shelves.c.namespace, func.count())
    .join(traces, traces.c.shelf == shelves.c.id)
    .group_by(shelves.c.namespace)
)
_NAMED = shelves.c.namespace == bindparam("namespace")
_COUNT = _ALL.join(shelves, shelves.c.id == traces.c.shelf).where(_NAMED)
_RANKED_IN = RANKED.where(_NAMED)


def more_than(connection: Connection, most: int | None) -> bool:
    """Return whether a memory holds more than ``most`` traces."""
    if most is None or (connection.scalar(_SPAN) or 0) <= most:
        return False  # the span of ids shows it without a count
    return connection.execute(_ALL).scalar_one() > most


def counts(connection: Connection) -> dict[str, int]:
    """Return how many traces each namespace holds."""
    return {name: count for name, count in connection.execute(_COUNTS)}


def crowds(held: Mapping[str, int], total: int | None) -> dict[str | None, int]:
    """Return which namespaces hold more than their share of a total, and what that share is.

    The largest give way, so that a flooded namespace evicts only its own traces. If there are more
    namespaces than the total, all are treated as one, named None.
    """
    if total is None or sum(held.values()) <= total:
        return {}
    share = fair_share(held.values(), total)
    if not share:
        return {None: total}
    return {name: share for name, count in held.items() if count > share}


def fair_share(held: Collection[int], total: int) -> int:
    """Return the most that each may hold so that all together hold no more than a total."""
    left = total
    for number, count in enumerate(sorted(held)):
        share = left // (len(held) - number)
        if count > share:
            return share
        left -= count
    return max(held, default=0)


def beyond(
    connection: Connection,
    most: int | None,
    namespace: str | None,
    now: datetime,
    *,
    spared: Set[int] = frozenset(),
    gone: Set[int] = frozenset(),
) -> list[int]:
    """Return what to evict if a namespace holds more than it may, least useful first.

    Some room is made at once, so that not every new trace has to look for the least useful one.

    Args:
        connection: Where to look.
        most: Traces that it may hold; None: any number.
        namespace: Its name; None: all namespaces as one.
        now: The time, for the traces' age.
        spared: Ids of traces that stay, whatever their use.
        gone: Ids of traces that are erased anyway.
    """
    if most is None or (connection.scalar(_SPAN) or 0) <= most:
        return []
    if namespace is None:
        rows = connection.execute(RANKED).all()
    elif connection.execute(_COUNT, {"namespace": namespace}).scalar_one() > most:
        rows = connection.execute(_RANKED_IN, {"namespace": namespace}).all()
    else:
        return []
    ranked = [row.id for row in most_useful_first(rows, to_time(now)) if row.id not in gone]
    first = [id_ for id_ in ranked if id_ in spared]
    ranked = first + [id_ for id_ in ranked if id_ not in spared]
    if len(ranked) <= most:
        return []
    keep = max(most - most // _ROOM, len(first))
    return ranked[keep:][::-1]
