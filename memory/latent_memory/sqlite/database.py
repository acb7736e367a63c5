"""An open database file: its transactions and its write-ahead log."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from weakref import finalize

from sqlalchemy import Connection

from latent_memory.database import Database, Guard, Sizes
from latent_memory.errors import LatentMemoryError, ReadOnlyError
from latent_memory.files import delete_file
from latent_memory.first_of_ours import first_of_ours
from latent_memory.fork_guard import Gate
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.index.shelf_index import OpenIndexes
from latent_memory.sqlite.backup import backups
from latent_memory.sqlite.errors import translated
from latent_memory.sqlite.folder import Folder, index_folder, priors_folder
from latent_memory.sqlite.night_lock import hold, is_held
from latent_memory.sqlite.opening import log_bytes, make_engine
from latent_memory.sqlite.waiting import (
    BUSY_SECONDS,
    WriterTurn,
    attempts,
    checkpoint,
    execute_when_free,
)

logger = logging.getLogger(__name__)

_LOG_BYTES = 16 << 20  # a longer write-ahead log is emptied


class SqliteDatabase(Database):
    """One SQLite file, open for many threads at once.

    Args:
        path: The file, which exists.
        readonly: Whether it is open for reading only.
        guard: Raises if the schema is not the expected one. It is called in the first transaction,
            and in the next one after any process has changed the schema.
    """

    def __init__(self, path: Path, *, readonly: bool, guard: Guard | None = None) -> None:
        self.location, self.readonly = path, readonly
        self.files, self.snapshots = Folder(priors_folder(path)), index_folder(path)
        self._guard, self._guarded = guard, -1
        self._engine = make_engine(path, readonly=readonly)
        self._gate = Gate(self._engine.dispose)
        self._writer = threading.Lock()
        self._turn = WriterTurn()
        self._trim_at = _LOG_BYTES
        self._must_empty = False
        finalize(self, self._engine.dispose)

    @contextmanager
    def read(self) -> Generator[Connection]:
        """Give a connection that sees one state of the database throughout."""
        with self._gate.use(), self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def write(self, within: float | None = None) -> Generator[Connection]:
        """Give a connection whose changes are durable once the block is left, or not made at all.

        Args:
            within: Seconds to wait for other writers at most; None: until they have finished, or
                one keeps the lock for ``BUSY_SECONDS``.

        Raises:
            ReadOnlyError: If the database is open for reading only.
            StorageError: If the disk is full, fails, or others keep the lock too long.
        """
        if self.readonly:
            raise ReadOnlyError(
                f"a memory must be writable to be changed, but {str(self.path)!r} is open for "
                "reading only; open it with mode='read-write', or make the file and its folder "
                "writable"
            )
        # The lock is taken before the first read (IMMEDIATE): a reader that turns writer fails
        # at once, whatever the timeout, if another connection has written meanwhile.
        with (
            self._gate.use(),
            first_of_ours(self._writer, self.place, within) as left,
            self._turn.taken(),
            self._transaction("BEGIN IMMEDIATE", left) as connection,
        ):
            yield connection
        self._trim()

    @contextmanager
    def _transaction(self, begin: str, within: float | None = None) -> Generator[Connection]:
        options = {"begin": begin, "within": within}
        with (
            translated(self.path),
            self._engine.connect().execution_options(**options) as connection,
            connection.begin(),
        ):
            version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
            if self._guard and version != self._guarded:
                self._guard(connection)
                self._guarded = version
            yield connection

    def empty_log(self) -> bool:
        """Empty the write-ahead log, so that nothing deleted is left in it.

        Waits for other processes' transactions. If they take too long, it logs a warning and tries
        again after the next write and on closing.
        """
        self._must_empty = not self._checkpoint(BUSY_SECONDS)
        if self._must_empty:
            logger.warning(
                "what was forgotten must leave %s-wal too, but a reader was active for %d "
                "seconds; its bytes stay there until the next write after that, or until the last "
                "process closes the memory",
                self.path,
                BUSY_SECONDS,
            )
        return not self._must_empty

    def empty_log_soon(self) -> None:
        """Empty the write-ahead log after this transaction, or after a later one."""
        self._must_empty = True

    def _trim(self) -> None:
        """Keep the write-ahead log short. What was written is safe already: nothing is raised."""
        size = log_bytes(self.path)
        if size < self._trim_at and not self._must_empty:
            return
        try:
            emptied = self._checkpoint(1)
        except LatentMemoryError as error:
            logger.warning("the write-ahead log could not be emptied: %s", error)
            emptied = False
        self._must_empty = self._must_empty and not emptied
        self._trim_at = _LOG_BYTES if emptied else size + _LOG_BYTES

    def _checkpoint(self, seconds: float) -> bool:
        """Empty the log within ``seconds``; between two attempts others get their turn."""
        for _ in attempts(seconds, pause=0.1):
            with self._alone() as raw:
                if checkpoint(raw):
                    return True
        return False

    def vacuum(self, *, thorough: bool) -> None:  # noqa: ARG002 - a file is rewritten either way
        """Rewrite the file without what was deleted; nothing else can write meanwhile.

        Raises:
            StorageError: If the disk has no room for a copy, or another process keeps writing.
        """
        with self._alone() as raw:
            execute_when_free(raw, "VACUUM")
        self.empty_log()

    @contextmanager
    def _alone(self) -> Generator[sqlite3.Connection]:
        """Give a connection outside of any transaction, while no thread of ours writes."""
        with (
            self._gate.use(),
            self._writer,
            translated(self.path),
            closing(self._engine.raw_connection()) as pooled,
        ):
            raw = pooled.driver_connection
            assert isinstance(raw, sqlite3.Connection)
            yield raw

    def faults(self, connection: Connection) -> list[str]:
        """Return what SQLite's own checks report: broken pages, dangling rows."""
        faults = [str(row[0]) for row in connection.exec_driver_sql("PRAGMA integrity_check")]
        dangling = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        faults = [] if faults == ["ok"] else faults
        return faults + [f"row {row[1]} of {row[0]} belongs to no {row[2]}" for row in dangling]

    def sizes(self) -> Sizes:
        """Return the sizes of the file, and of its log, its snapshots and its copies."""
        folder = index_folder(self.path)
        snapshots = list(folder.iterdir()) if folder.is_dir() else []
        return Sizes(
            database=self.path.stat().st_size,
            log=log_bytes(self.path),
            index=sum(file.stat().st_size for file in snapshots),
            backups=backups(self.path),
        )

    def highest_ids(self, connection: Connection) -> dict[str, int]:
        """Return what SQLite keeps for AUTOINCREMENT."""
        rows = connection.exec_driver_sql("SELECT name, seq FROM sqlite_sequence")
        return {name: highest for name, highest in rows if highest}

    def set_highest_ids(self, connection: Connection, highest: Mapping[str, int]) -> None:
        """Set what SQLite keeps for AUTOINCREMENT."""
        for name, number in highest.items():
            connection.exec_driver_sql("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            row = (name, number)
            connection.exec_driver_sql("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", row)

    def delete_backups(self) -> Sequence[str]:
        """Delete the copies beside the file."""
        return [str(copy) for copy in backups(self.path) if not delete_file(copy)]

    def indexes(self, settings: IndexSettings) -> OpenIndexes:
        """Return indexes of FAISS, kept up with the file and stored beside it."""
        return OpenIndexes(self, settings)

    def night_lock(self) -> AbstractContextManager[Callable[[], bool]]:
        """Hold a lock on a file beside the database."""
        return hold(self.path)

    def night_running(self) -> bool:
        """Whether that lock is held, or cannot be tried."""
        return is_held(self.path)

    def close(self) -> None:
        """Close all connections; the last one, of all processes, empties the write-ahead log.

        A closed database opens again when it is next used.
        """
        if self._must_empty:
            self.empty_log()
        with self._gate.use():
            self._engine.dispose()
