"""The index of one shelf: built, kept up with the database, kept on disk."""

import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager

import numpy as np

from latent_memory.errors import DamageError, TraceError
from latent_memory.index.embeddings import (
    NOTHING,
    START,
    News,
    ShelfRow,
    find_shelf,
    read_ids,
    read_news,
)
from latent_memory.index.index import VectorIndex
from latent_memory.index.index_state import Known, load, save
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.sqlite import Database
from latent_memory.trace import Shelf, Vector
from latent_memory.trace_rows import check_width

_STALE = 0.1  # a snapshot that lacks a larger share of what the index knows is written anew


class ShelfIndex:
    """The index of one shelf, for many threads.

    Args:
        database: Where the shelf lies.
        shelf: Its names.
        settings: How the index is built.
    """

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
        """Take ids out that the database was found not to hold."""
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
        """Return the index as the database is now; None if nothing lies on the shelf."""
        row, news = self._news(known)
        if row is None:
            return None
        if known is None or known.row.identity != row.identity:
            return self._built(row, news)
        self._apply(known, news)
        return self._caught_up(None) if known.index.outgrown else known

    def _news(self, known: Known | None) -> tuple[ShelfRow | None, News]:
        """Read what ``known`` lacks, or all if the shelf has another identity since.

        It was emptied and begun anew, or its record of deletions was shortened.
        """
        with self._database.read() as connection:
            row = find_shelf(connection, self._shelf)
            if row is None:
                return None, NOTHING
            same = known is not None and known.row.identity == row.identity
            since = known.position if known is not None and same else START
            return row, read_news(connection, row, since)

    def _built(self, row: ShelfRow, news: News) -> Known:
        with self._blamed():
            index = VectorIndex.build(news.ids, news.vectors, settings=self._settings)
        return Known(row=row, index=index, position=news.position, unsaved=len(index))

    def _apply(self, known: Known, news: News) -> None:
        with self._blamed():
            known.index.add(news.ids, news.vectors)
        known.index.remove(news.gone)
        known.position = news.position
        known.unsaved += len(news.ids) + len(news.gone)

    @contextmanager
    def _blamed(self) -> Generator[None]:
        """Say that an embedding which was good enough to be stored is damaged now."""
        try:
            yield
        except TraceError as error:
            raise DamageError(
                f"embeddings must be as they were stored, but one in namespace "
                f"{self._shelf.namespace!r} is not ({error}); run: latent-agent memory verify"
            ) from error
