"""The indexes that are held in memory: so many, however many shelves are asked."""

from latent_memory.fork_renewal import ForkSafeLock, Renewed
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.index.shelf_index import ShelfIndex
from latent_memory.sqlite import Database
from latent_memory.trace import Shelf

OPEN = 64


class OpenIndexes(Renewed):
    """The indexes that were used last, for many threads.

    Args:
        database: Where the shelves lie.
        settings: How an index is built.
    """

    def __init__(self, database: Database, settings: IndexSettings) -> None:
        super().__init__()
        self._database, self._settings = database, settings
        self._lock = ForkSafeLock()
        self.renew()

    def renew(self) -> None:
        """Begin with none: one that a thread was searching at a fork may be half changed."""
        self._indexes: dict[Shelf, ShelfIndex] = {}

    def of(self, shelf: Shelf) -> ShelfIndex:
        """Return the index of a shelf; one that had to go is opened anew.

        Whoever still searches an index that goes now may end that: as in another process, it
        knows what the database holds.
        """
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
        with self._lock:
            indexes = list(self._indexes.values())
        for index in indexes:
            index.close()
