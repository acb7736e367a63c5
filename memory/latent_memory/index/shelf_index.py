"""The indexes of shelves: built, kept up with the database, kept in memory and on disk."""

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import numpy as np

from latent_memory.database import Database
from latent_memory.errors import DamageError, TraceError
from latent_memory.fork_renewal import ForkSafeLock, Renewed
from latent_memory.index.embeddings import (
    START,
    find_shelf,
    read_changes,
    read_ids,
)
from latent_memory.index.index import VectorIndex
from latent_memory.index.index_state import Known, load, save
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.trace import Shelf, Vector
from latent_memory.trace_rows import check_width

OPEN = 64  # indexes in memory, however many shelves are queried
_STALE = 0.1  # a snapshot that lacks a larger share of what the index knows is rewritten


class ShelfIndex:
    """The index of one shelf, for many threads."""

    def __init__(self, database: Database, shelf: Shelf, settings: IndexSettings) -> None:
        self._database, self._shelf, self._settings = database, shelf, settings
        self._lock = threading.Lock()
        self._known: Known | None = None

    def search(self, query: Vector, k: int) -> list[tuple[int, float]]:
        """Return the ids of the ``k`` nearest traces with their similarities, best first.

        Whatever any process had committed beforehand counts.

        Raises:
            TraceError: If the query is not as long as the shelf's embeddings.
            DamageError: If an embedding is not as it was stored.
        """
        with self._lock:
            known = self._known = self._caught_up(self._known or load(self._database, self._shelf))
            if known is None:
                return []
            if known.unsaved > _STALE * len(known.index):
                save(self._database, known)
            check_width("embeddings", known.row.dimension, len(query), self._shelf)
            return known.index.search(query, k)

    def drop(self, ids: Iterable[int]) -> None:
        """Take ids out that the database no longer holds."""
        with self._lock:
            if self._known is not None:
                self._known.index.remove(np.array(sorted(ids), dtype=np.int64))

    def rebuild(self) -> int:
        """Build the index from the database alone; return how many traces it holds."""
        with self._lock:
            known = self._known = self._caught_up(None)
            if known is None:
                return 0
            save(self._database, known)
            return len(known.index)

    def difference(self) -> str | None:
        """Say how the index differs from the database; None if it does not."""
        with self._lock:
            known = self._known = self._caught_up(self._known or load(self._database, self._shelf))
            if known is None:
                return None
            held = set(known.index.assignment()[0].tolist())
            with self._database.read() as connection:
                there = read_ids(connection, known.row, known.position)
            if not (held - there or there - held):
                return None
            return (
                f"the index of namespace {self._shelf.namespace!r} must hold the traces that the "
                f"database holds, but lacks {len(there - held)} and has {len(held - there)} more; "
                "run: latent-agent memory rebuild"
            )

    def close(self) -> None:
        """Write down what has changed since the last snapshot."""
        with self._lock:
            if self._known is not None and self._known.unsaved:
                save(self._database, self._known)

    def _caught_up(self, known: Known | None) -> Known | None:
        """Return the index brought up to date; None if nothing lies on the shelf."""
        with self._database.read() as connection:
            row = find_shelf(connection, self._shelf)
            if row is None:
                return None
            if known is not None and known.row.identity != row.identity:
                # It was emptied and created again, or its record of deletions was shortened.
                known = None
            changes = read_changes(connection, row, START if known is None else known.position)
        with self._blamed():
            if known is None:
                index = VectorIndex.build(changes.ids, changes.vectors, settings=self._settings)
                return Known(row=row, index=index, position=changes.position, unsaved=len(index))
            known.index.add(changes.ids, changes.vectors)
        known.index.remove(changes.gone)
        known.position = changes.position
        known.unsaved += len(changes.ids) + len(changes.gone)
        return self._caught_up(None) if known.index.outgrown else known

    @contextmanager
    def _blamed(self) -> Generator[None]:
        """Report an embedding that is refused, though it was stored, as damage."""
        try:
            yield
        except TraceError as error:
            raise DamageError(
                f"embeddings must be as they were stored, but one in namespace "
                f"{self._shelf.namespace!r} is not ({error}); run: latent-agent memory verify"
            ) from error


class OpenIndexes(Renewed):
    """The ``OPEN`` indexes that were used last, for many threads."""

    def __init__(self, database: Database, settings: IndexSettings) -> None:
        super().__init__()
        self._database, self._settings = database, settings
        self._lock = ForkSafeLock()
        self.renew()

    def renew(self) -> None:
        """Start with none: one that a thread was searching at a fork may be half changed."""
        self._indexes: dict[Shelf, ShelfIndex] = {}

    def of(self, shelf: Shelf) -> ShelfIndex:
        """Return the index of a shelf.

        A thread that is still searching an index dropped here may finish: as in another process,
        the index knows what the database holds.
        """
        with self._lock:
            index = self._indexes.pop(shelf, None)
            index = index or ShelfIndex(self._database, shelf, self._settings)
            self._indexes[shelf] = index  # a dict keeps the order of insertion: used last, last
            first = next(iter(self._indexes))
            dropped = self._indexes.pop(first) if len(self._indexes) > OPEN else None
        if dropped is not None:
            dropped.close()
        return index

    def close(self) -> None:
        """Write down what is not on disk yet."""
        with self._lock:
            indexes = list(self._indexes.values())
        for index in indexes:
            index.close()
