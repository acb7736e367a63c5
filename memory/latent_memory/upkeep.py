"""Keeping a memory within its limits: as traces come, and at night."""

import logging
import time
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, func, select

from latent_memory import compacting
from latent_memory.erase import (
    AT_ONCE,
    delete_backups,
    delete_traces,
    drop_files,
    erase,
)
from latent_memory.errors import LatentMemoryError
from latent_memory.limits import Limits, check_rate, read_limits
from latent_memory.record import EVICTED, EXPIRED, note
from latent_memory.rows import insert_trace, to_time
from latent_memory.sqlite import Database
from latent_memory.tables import shelves, traces
from latent_memory.trace import Trace
from latent_memory.usefulness import most_useful_first

logger = logging.getLogger(__name__)

_ROOM = 20  # of a full namespace's capacity one part in so many is evicted at once
_LOOK = 3600  # seconds between a writer's looks for what is too old
_AT_NIGHT, _WHILE_WRITING = 1, 4  # emptied rows for each trace, before the file is written anew

# Two queries in one: SQLite looks a single extreme up, but reads all rows for two.
_SPAN = select(
    select(func.max(traces.c.id)).scalar_subquery()
    - select(func.min(traces.c.id)).scalar_subquery()
    + 1
)
_NAMED = shelves.c.namespace == bindparam("namespace")
_IN = select(func.count()).select_from(traces).join(shelves, shelves.c.id == traces.c.shelf)
_COUNT = _IN.where(_NAMED)
_RANKED = (
    select(traces.c.id, traces.c.created, traces.c.score, traces.c.neighbours)
    .join(shelves, shelves.c.id == traces.c.shelf)
    .where(_NAMED)
)
_OLD = select(traces.c.id).where(traces.c.created < bindparam("oldest")).order_by(traces.c.id)
_SOME_OLD = _OLD.limit(AT_ONCE)
_NAMESPACES = select(shelves.c.namespace).distinct()


@dataclass(frozen=True, kw_only=True, slots=True)
class Tidied:
    """What it took to bring a memory within its limits.

    Attributes:
        expired: Traces that were too old.
        evicted: Traces that were beyond their namespace's capacity.
        compacted: Whether the file was written anew.
    """

    expired: int
    evicted: int
    compacted: bool


class _Room:
    """What one transaction erases to make room."""

    def __init__(self, connection: Connection, database: Database, now: datetime) -> None:
        self._connection, self._database, self._now = connection, database, now
        self.shelves: list[int] = []
        self.priors: list[str] = []
        self.made = False

    def erase(self, reason: str, ids: Sequence[int]) -> None:
        """Erase traces, as far as one transaction should."""
        if not ids:
            return
        if reason != EVICTED:
            delete_backups(self._database.path)
        gone = delete_traces(self._connection, ids[:AT_ONCE], reason)
        note(self._connection, reason, gone.traces, self._now)
        self.shelves += gone.shelves
        self.priors += gone.priors
        self.made = True
        self._database.empty_log_soon()
        logger.info("%d traces were %s", gone.traces, reason)


class Upkeep:
    """Keeps a database within its limits.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._look_at = 0.0  # when to look for what is too old

    def add(self, traces: Iterable[Trace]) -> list[int]:
        """Store traces, and make room for them, in one transaction; return their ids.

        Raises:
            RateError: If a namespace has had its traces of this hour; none is stored.
        """
        now, ids, namespaces = datetime.now(UTC), list[int](), set[str]()
        with self._database.write() as connection:
            limits = read_limits(connection)
            for trace in traces:
                check_rate(connection, limits, trace.shelf.namespace, now)
                ids.append(insert_trace(connection, trace, now))
                namespaces.add(trace.shelf.namespace)
            room = _Room(connection, self._database, now)
            room.erase(EXPIRED, self._some_old(connection, limits, now))
            for namespace in namespaces:
                room.erase(EVICTED, beyond(connection, limits, namespace, now, spared=set(ids)))
            crowded = room.made and compacting.is_due(connection, _WHILE_WRITING)
        drop_files(self._database, room.shelves, room.priors)
        if crowded:
            self._compact()
        return ids

    def _some_old(self, connection: Connection, limits: Limits, now: datetime) -> Sequence[int]:
        """Find traces that are too old, now and then, so many that nobody waits for long."""
        if limits.max_age is None or time.monotonic() < self._look_at:
            return []
        found = connection.execute(_SOME_OLD, {"oldest": limits.oldest(now)}).scalars().all()
        if len(found) < AT_ONCE:
            self._look_at = time.monotonic() + _LOOK
        return found

    def _compact(self) -> None:
        """Write the file anew; that it could not be costs no trace."""
        try:
            compacting.compact(self._database)
        except LatentMemoryError as error:
            logger.warning("the room of what was erased could not be given back: %s", error)

    def tidy(self) -> Tidied:
        """Erase what is too old or too much now, and give its room back once it is half the file.

        Raises:
            ReadOnlyError: If the database is open for reading only.
            StorageError: If the disk or the database refuses; the next time goes on.
        """
        old, much = self._overdue()
        expired = erase(self._database, old, reason=EXPIRED) if old else 0
        evicted = erase(self._database, much, reason=EVICTED) if much else 0
        with self._database.read() as connection:
            due = compacting.is_due(connection, _AT_NIGHT)
        if due:
            compacting.compact(self._database)
        return Tidied(expired=expired, evicted=evicted, compacted=due)

    def counted(self) -> Tidied:
        """Count what ``tidy`` would erase, and do nothing."""
        old, much = self._overdue()
        with self._database.read() as connection:
            due = compacting.is_due(connection, _AT_NIGHT)
        return Tidied(expired=len(old), evicted=len(much), compacted=due)

    def _overdue(self) -> tuple[Sequence[int], Sequence[int]]:
        """Find what is too old, and what else is beyond its namespace's capacity."""
        now = datetime.now(UTC)
        with self._database.read() as connection:
            limits = read_limits(connection)
            old = connection.execute(_OLD, {"oldest": limits.oldest(now)}).scalars().all()
            much = [
                id_
                for namespace in connection.execute(_NAMESPACES).scalars().all()
                for id_ in beyond(connection, limits, namespace, now, gone=set(old))
            ]
        return old, much


def beyond(
    connection: Connection,
    limits: Limits,
    namespace: str,
    now: datetime,
    *,
    spared: Set[int] = frozenset(),
    gone: Set[int] = frozenset(),
) -> list[int]:
    """Find what must go if a namespace holds more than it may, least useful first.

    Some room is made at once, so that not every new trace has to look for the least useful one.

    Args:
        connection: Where to look.
        limits: What it may hold.
        namespace: Its name.
        now: The time, for the traces' age.
        spared: Ids of traces that stay, whatever their use.
        gone: Ids of traces that go anyway.
    """
    capacity = limits.capacity
    if capacity is None or (connection.scalar(_SPAN) or 0) <= capacity:
        return []  # there are not so many in all
    if connection.execute(_COUNT, {"namespace": namespace}).scalar_one() <= capacity:
        return []
    rows = connection.execute(_RANKED, {"namespace": namespace}).all()
    ranked = [row.id for row in most_useful_first(rows, to_time(now)) if row.id not in gone]
    first = [id_ for id_ in ranked if id_ in spared]
    ranked = first + [id_ for id_ in ranked if id_ not in spared]
    if len(ranked) <= capacity:
        return []
    keep = max(capacity - capacity // _ROOM, len(first))
    return ranked[keep:][::-1]
