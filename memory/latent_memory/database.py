"""An open database, as all rules of the memory know it.

What is particular to a dialect lies in ``sqlite`` and ``postgres``, and nowhere else.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from sqlalchemy import URL, Connection

from latent_memory.errors import LatentMemoryError, LocationError
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.locations import shown
from latent_memory.trace import Shelf, Vector

Guard = Callable[[Connection], None]
"""Raises if the schema is not the expected one."""


class NightHeldError(LatentMemoryError):
    """Another night has the memory's lock; the text names it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFile:
    """A named file of a memory.

    Attributes:
        name: Its name.
        size: Its bytes.
        written: When, in seconds since 1970.
    """

    name: str
    size: int
    written: float


class Files(ABC):
    """The named files of a memory: the weights of priors, what interrupted nights have done."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """Return a file's content.

        Raises:
            OSError: If there is none, or it cannot be read.
            LatentMemoryError: If the memory fails, or the name leads elsewhere.
        """

    @abstractmethod
    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all; it is durable then.

        Raises:
            OSError: If the disk refuses.
            LatentMemoryError: If the memory fails, or the name leads elsewhere.
        """

    @abstractmethod
    def delete(self, name: str) -> Sequence[str]:
        """Delete a file, if there is one; return where it still lies if that cannot be done."""

    @abstractmethod
    def list(self) -> Sequence[StoredFile]:
        """Return the files that there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Sizes:
    """What a database takes on the disk, in bytes.

    Attributes:
        database: The traces and all that is known of them.
        log: What it writes ahead and nobody else uses.
        index: What recall keeps beside the traces.
        backups: Copies that migrations made.
    """

    database: int
    log: int
    index: int
    backups: Sequence[Path] = ()


class Nearest(Protocol):
    """What finds the traces of one shelf that lie nearest to a query."""

    def search(self, query: Vector, k: int) -> list[tuple[int, float]]:
        """Return the ids of the ``k`` nearest traces with their similarities, best first.

        Whatever any process had committed beforehand counts.

        Raises:
            TraceError: If the query is not as long as the shelf's embeddings.
            DamageError: If an embedding is not as it was stored.
        """
        ...

    def drop(self, ids: Iterable[int]) -> None:
        """Take ids out that the database no longer holds."""
        ...

    def rebuild(self) -> int:
        """Build it from the traces alone; return how many it holds."""
        ...

    def difference(self) -> str | None:
        """Say how it differs from the traces; None if it does not."""
        ...


class Indexes(Protocol):
    """What recall searches, shelf by shelf, for many threads."""

    def of(self, shelf: Shelf) -> Nearest:
        """Return what searches a shelf."""
        ...

    def close(self) -> None:
        """Write down what is not on disk yet."""
        ...


class Database(ABC):
    """One database, open for many threads and processes at once.

    Attributes:
        location: Where it lies: what opens it again.
        readonly: Whether it is open for reading only.
        files: The named files that belong to it.
        snapshots: The folder of its index snapshots; None: they are not kept.
    """

    location: Path | URL
    readonly: bool
    files: Files
    snapshots: Path | None = None

    @property
    def place(self) -> Path | str:
        """Where it lies, as it can be shown: its file, or its URL without a password."""
        return shown(self.location)

    @property
    def path(self) -> Path:
        """The database's file.

        Raises:
            LocationError: If it lies on a server.
        """
        if isinstance(self.location, Path):
            return self.location
        raise LocationError(
            f"what wants a memory's file needs one in SQLite, got {self.place!r}, which lies on a "
            "server; leave that out, or name a memory in a file"
        )

    @abstractmethod
    def read(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees one state of the database throughout."""

    @abstractmethod
    def write(self, within: float | None = None) -> AbstractContextManager[Connection]:
        """Give a connection whose changes are durable once the block is left, or not made at all.

        There is one writer at a time, over all processes: what it reads nobody else changes, and
        ids grow in the order of commits.

        Args:
            within: Seconds to wait for other writers at most; None: until they have finished, or
                one keeps the lock for 30 seconds.

        Raises:
            ReadOnlyError: If the database is open for reading only.
            StorageError: If the disk is full, fails, or others keep the lock too long.
        """

    @abstractmethod
    def empty_log(self) -> bool:
        """Empty the log of changes, where it is ours, so that nothing deleted is left in it."""

    @abstractmethod
    def empty_log_soon(self) -> None:
        """Empty that log after this transaction, or after a later one."""

    @abstractmethod
    def vacuum(self, *, thorough: bool) -> None:
        """Rewrite the database without what was deleted; nothing else can write meanwhile.

        Args:
            thorough: Whether somebody asked for it. Else a server, whose readers would wait too,
                only lets the space be used again.

        Raises:
            StorageError: If the disk has no room for a copy, or another process keeps writing.
        """

    @abstractmethod
    def faults(self, connection: Connection) -> list[str]:
        """Return what the database's own checks report: broken pages, dangling rows."""

    @abstractmethod
    def sizes(self) -> Sizes:
        """Return what it takes on the disk."""

    @abstractmethod
    def highest_ids(self, connection: Connection) -> dict[str, int]:
        """Return the highest id that each table ever gave; 0 for none."""

    @abstractmethod
    def set_highest_ids(self, connection: Connection, highest: Mapping[str, int]) -> None:
        """Let no table give an id up to these any more."""

    @abstractmethod
    def delete_backups(self) -> Sequence[str]:
        """Delete the copies that migrations made; return those that cannot be."""

    @abstractmethod
    def indexes(self, settings: IndexSettings) -> Indexes:
        """Return what recall searches."""

    @abstractmethod
    def night_lock(self) -> AbstractContextManager[Callable[[], bool]]:
        """Hold the one lock of nights, over all processes; it falls with its holder.

        Gives what says whether it is still held: a connection can be lost.

        Raises:
            NightHeldError: If it is held; names the holder.
        """

    @abstractmethod
    def night_running(self) -> bool:
        """Whether the lock of nights is held, or cannot be tried."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections. A closed database opens again when it is next used."""


class Address(ABC):
    """Where a database lies, or is to lie, before it is open."""

    place: Path | str
    """As it can be shown: its file, or its URL without a password."""

    @abstractmethod
    def make(self) -> None:
        """Make an empty database there, unless there is one.

        Raises:
            LocationError: If none can be made there.
        """

    @abstractmethod
    def is_writable(self) -> bool:
        """Whether it can be written."""

    @abstractmethod
    def look(self) -> AbstractContextManager[Connection]:
        """Give a connection for a first look, which leaves all as it is.

        Raises:
            LocationError: If there is no database, or one of another kind.
        """

    @abstractmethod
    def open(self, *, readonly: bool, guard: Guard | None = None) -> Database:
        """Open it; ``guard`` is called when the schema may have changed."""

    @abstractmethod
    def backup(self, revision: str) -> Path | None:
        """Copy it as it is now, where it is ours to copy; return where.

        Raises:
            StorageError: If the copy cannot be written.
        """

    @abstractmethod
    def mark(self, connection: Connection) -> None:
        """Mark a new database, whose schema is there, as ours."""

    @abstractmethod
    def is_marked(self, connection: Connection) -> bool:
        """Whether it is marked as ours."""
