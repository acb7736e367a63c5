"""Keeping a memory within its limits: as traces come, and at night."""

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, select

from latent_memory.database import Database
from latent_memory.erasure_log import EVICTED, EXPIRED, note
from latent_memory.errors import LatentMemoryError
from latent_memory.retention import compacting
from latent_memory.retention.awaited import Awaited, note_answer, overdue
from latent_memory.retention.erase import (
    AT_ONCE,
    delete_traces,
    drop_files,
    erase,
)
from latent_memory.retention.eviction import beyond, counts, crowds, more_than
from latent_memory.retention.limits import Limits, check_rate, count_admitted, read_limits
from latent_memory.tables import shelves, traces
from latent_memory.trace import Trace
from latent_memory.trace_rows import insert_trace

logger = logging.getLogger(__name__)

_UNCOUNTED = 1000  # a thousandth of the total may be added before all are counted again
_LOOK = 3600  # seconds between a writer's searches for traces that are too old
_AT_NIGHT, _WHILE_WRITING = 1, 4  # emptied rows for each trace, before the file is rewritten

_OLD = (
    select(traces.c.id, shelves.c.namespace)
    .join(shelves, shelves.c.id == traces.c.shelf)
    .where(traces.c.created < bindparam("oldest"))
    .order_by(traces.c.id)
)
_SOME_OLD = _OLD.limit(AT_ONCE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Tidied:
    """What was erased to bring a memory within its limits.

    Attributes:
        expired: Traces that were too old.
        evicted: Traces beyond their namespace's capacity, or all namespaces' total.
        compacted: Whether the file was rewritten.
    """

    expired: int
    evicted: int
    compacted: bool


class _Room:
    """What one transaction erases to make room: at most ``AT_ONCE`` traces."""

    def __init__(self, connection: Connection, database: Database, now: datetime) -> None:
        self._connection, self._database, self._now = connection, database, now
        self.left = AT_ONCE
        self.shelves: list[int] = []
        self.priors: list[str | None] = []
        self.made = False

    def erase(self, reason: str, ids: Sequence[int]) -> None:
        """Erase traces, as far as one transaction should."""
        ids = ids[: self.left]
        if not ids:
            return
        if reason != EVICTED:
            self._database.delete_backups()
        gone = delete_traces(self._connection, ids, reason)
        self.left -= len(ids)
        note(self._connection, reason, gone.traces, self._now)
        self.shelves += gone.shelves
        self.priors += gone.priors
        self.made = True
        self._database.empty_log_soon()
        logger.info("%d traces were %s", gone.traces, reason)


class Upkeep:
    """Keeps a database within its limits."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._look_at = 0.0  # when to look for what is too old
        self._until_counted = 0  # traces, until all are counted

    def add(
        self,
        traces: Iterable[Trace],
        within: float | None = None,
        awaited: Awaited | None = None,
    ) -> list[int]:
        """Store traces, and make room for them, in one transaction; return their ids.

        See ``LatentMemory.add``; none is stored if one is refused.
        """
        now, ids, namespaces = datetime.now(UTC), list[int](), set[str]()
        with self._database.write(within) as connection:
            limits = read_limits(connection)
            for trace in traces:
                check_rate(connection, limits, trace.shelf.namespace, now)
                ids.append(insert_trace(connection, trace, now))
                count_admitted(connection, limits, ids[-1], now)
                namespaces.add(trace.shelf.namespace)
                if awaited is not None:
                    note_answer(connection, ids[-1], awaited)
            room = _Room(connection, self._database, now)
            room.erase(EXPIRED, self._some_old(connection, limits, now))
            room.erase(EVICTED, overdue(connection, now))
            for namespace, most in self._wanting(connection, limits, namespaces, len(ids)):
                if not room.left:
                    break
                room.erase(EVICTED, beyond(connection, most, namespace, now, spared=set(ids)))
            if not room.left:
                self._until_counted = 0  # the next trace continues
            crowded = room.made and compacting.is_due(connection, _WHILE_WRITING)
        drop_files(self._database, room.shelves, room.priors)
        if crowded:
            self._compact()
        return ids

    def make_room(self, namespace: str, spared: Set[int]) -> None:
        """Evict what a namespace holds beyond its capacity: a rated trace's copy takes room too."""
        now = datetime.now(UTC)
        with self._database.read() as connection:
            most = read_limits(connection).capacity
            if not beyond(connection, most, namespace, now, spared=spared):
                return
        with self._database.write() as connection:
            room = _Room(connection, self._database, now)
            room.erase(EVICTED, beyond(connection, most, namespace, now, spared=spared))
        drop_files(self._database, room.shelves, room.priors)

    def _wanting(
        self, connection: Connection, limits: Limits, namespaces: Set[str], new: int
    ) -> Iterator[tuple[str | None, int | None]]:
        """Yield each namespace that may hold too many traces now, and how many it may hold."""
        for name in namespaces:
            yield name, limits.capacity
        if limits.total is None:
            return
        pause = limits.total // _UNCOUNTED
        self._until_counted = min(self._until_counted, pause) - new
        if self._until_counted > 0:
            return
        self._until_counted = pause
        if more_than(connection, limits.total):
            yield from crowds(counts(connection), limits.total).items()

    def _some_old(self, connection: Connection, limits: Limits, now: datetime) -> Sequence[int]:
        """Return some traces that are too old, from time to time, few enough to be quick."""
        if limits.max_age is None or time.monotonic() < self._look_at:
            return []
        old = connection.execute(_SOME_OLD, {"oldest": limits.oldest(now)}).scalars().all()
        if len(old) < AT_ONCE:
            self._look_at = time.monotonic() + _LOOK
        return old

    def _compact(self) -> None:
        """Rewrite the file; a failure is only logged: it costs no trace."""
        try:
            compacting.compact(self._database, thorough=False)
        except LatentMemoryError as error:
            logger.warning(
                "the space of erased traces could not be returned to the disk: %s", error
            )

    def tidy(self, *, dry_run: bool = False) -> Tidied:
        """Erase what is beyond the limits now: see ``LatentMemory.tidy``."""
        old, much = self._overdue()
        expired, evicted = len(old), len(much)
        if not dry_run:
            expired = erase(self._database, old, reason=EXPIRED) if old else 0
            evicted = erase(self._database, much, reason=EVICTED) if much else 0
        with self._database.read() as connection:
            due = compacting.is_due(connection, _AT_NIGHT)
        if due and not dry_run:
            compacting.compact(self._database, thorough=False)
        return Tidied(expired=expired, evicted=evicted, compacted=due)

    def _overdue(self) -> tuple[Sequence[int], Sequence[int]]:
        """Return what is too old, and what else is beyond a capacity or the total."""
        now = datetime.now(UTC)
        with self._database.read() as connection:
            limits = read_limits(connection)
            oldest = {"oldest": limits.oldest(now)}
            old = {id_: name for id_, name in connection.execute(_OLD, oldest)}
            late = [id_ for id_ in overdue(connection, now) if id_ not in old]
            much, left, gone = list(late), counts(connection), {*old, *late}
            for name, expired in Counter(old.values()).items():
                left[name] -= expired
            for name in left:
                ids = beyond(connection, limits.capacity, name, now, gone=gone)
                left[name] -= len(ids)
                much += ids
            gone.update(much)
            for name, share in crowds(left, limits.total).items():
                much += beyond(connection, share, name, now, gone=gone)
        return list(old), much
