"""The indexes that are held in memory: so many, however many shelves are asked."""

import os
import threading

from latent_memory.layout import IndexSettings
from latent_memory.shelves import ShelfIndex
from latent_memory.sqlite import Database
from latent_memory.trace import Shelf

OPEN = 64


class OpenIndexes:
    """The indexes that were used last, for many threads.

    Args:
        database: Where the shelves lie.
        settings: How an index is built.
    """

    def __init__(self, database: Database, settings: IndexSettings) -> None:
        self._database, self._settings = database, settings
        self._forget()

    def of(self, shelf: Shelf) -> ShelfIndex:
        """Return the index of a shelf; one that had to go is opened anew.

        Whoever still searches an index that goes now may end that: as in another process, it
        knows what the database holds.
        """
        self._mind_forks()
        with self._lock:
            found = self._indexes.pop(shelf, None)
            found = found or ShelfIndex(self._database, shelf, self._settings)
            self._indexes[shelf] = found  # a dict is in the order of insertion: used last, last
            first = next(iter(self._indexes))
            too_many = self._indexes.pop(first) if len(self._indexes) > OPEN else None
        if too_many is not None:
            too_many.close()
        return found

    def close(self) -> None:
        """Write down what is not on disk yet."""
        self._mind_forks()
        with self._lock:
            indexes = list(self._indexes.values())
        for index in indexes:
            index.close()

    def _mind_forks(self) -> None:
        if self._pid != os.getpid():  # in a forked child, where a copied lock may never open
            self._forget()

    def _forget(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._indexes: dict[Shelf, ShelfIndex] = {}
