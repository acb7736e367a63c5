"""How a database file is made and opened.

The file is only ever opened through SQLite: closing it by other means would drop the locks that
this process holds on it.
"""

import os
import sqlite3
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event

from latent_memory.errors import LocationError
from latent_memory.sqlite.errors import translated
from latent_memory.sqlite.waiting import BUSY_SECONDS, execute_when_free, until_free

# A trace is some 60 KB in one row, and touches six tables and indexes. Small pages make long
# chains of overflow pages, large ones make each touched page dear: at d = 896, 16 KB gave the most
# durable adds a second, and reads embeddings three times as fast from disk as 4 KB.
_PAGE_BYTES = 16384

_READ_PRAGMAS = ("temp_store = MEMORY",)  # no text in temporary files

_WRITE_PRAGMAS = (
    *_READ_PRAGMAS,
    f"page_size = {_PAGE_BYTES}",  # counts for a new file only
    "journal_mode = WAL",
    "synchronous = FULL",  # an acknowledged trace outlives a power cut
    "foreign_keys = ON",
    "secure_delete = ON",
    # Checkpoints are ours to make, holding the writer's lock: before SQLite 3.51.3, two automatic
    # ones beside a commit could lose it (the "WAL-reset bug").
    "wal_autocheckpoint = 0",
)


def make_file(path: Path) -> None:
    """Make an empty database file, for its owner's eyes only, unless there is a file.

    Raises:
        LocationError: If none can be made there.
    """
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(_connect(path, "mode=rwc", ())) as connection:
            connection.execute("PRAGMA schema_version")
        path.chmod(0o600)
    except (sqlite3.Error, OSError) as error:
        raise LocationError(
            f"a memory must be a file that can be made, got {str(path)!r} ({error}); choose one "
            "in a folder that you may write to"
        ) from error


def is_writable(path: Path) -> bool:
    """Whether a database can be written: its file, and the log and locks beside it."""
    return os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)


@contextmanager
def look(path: Path) -> Generator[Connection]:
    """Give a connection for a first look, which leaves the file and its folder as they are.

    Raises:
        LocationError: If there is no file, or one that is no SQLite database.
    """
    if not path.is_file():
        raise LocationError(
            f"a memory must be a file, got {str(path)!r}, where there is none yet; the first "
            "question makes it (latent-agent ask QUESTION), or name another place with --memory"
        )
    # Nobody has the database open in WAL mode if there is no log: it can be read as it is.
    unused = not _log(path).exists()
    engine = _engine(path, "mode=ro&immutable=1" if unused else "mode=ro", _READ_PRAGMAS)
    try:
        with translated(path), engine.connect().execution_options(begin="BEGIN") as connection:
            yield connection
    finally:
        engine.dispose()


def make_engine(path: Path, *, readonly: bool) -> Engine:
    """Return an engine whose transactions begin as their execution options say.

    ``begin`` is the statement; what takes the lock waits for it at most ``within`` seconds.

    Raises:
        LocationError: If the file is to be written and has several hard links.
    """
    if not readonly:
        _require_one_name(path)
        return _engine(path, "mode=rw", _WRITE_PRAGMAS)
    # Where the log and locks cannot be made, and no log is left to read, none are needed.
    bare = not os.access(path.parent, os.W_OK) and log_bytes(path) == 0
    return _engine(path, "mode=ro&immutable=1" if bare else "mode=ro", _READ_PRAGMAS)


def _require_one_name(path: Path) -> None:
    """Refuse hard links: each would get its own write-ahead log, and lose what is in the other."""
    links = path.stat().st_nlink
    if links > 1:
        raise LocationError(
            f"a memory that is written must have one name, got {str(path)!r} with {links} hard "
            "links; delete the others, or replace them with copies or a symbolic link"
        )


def _engine(path: Path, mode: str, pragmas: Sequence[str]) -> Engine:
    engine = create_engine(
        "sqlite://",
        creator=lambda: _connect(path, mode, pragmas),
        poolclass=QueuePool,
        max_overflow=-1,
    )

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        raw = connection.connection.driver_connection
        assert isinstance(raw, sqlite3.Connection)
        options = connection.get_execution_options()
        if options["begin"] == "BEGIN":  # which takes no lock yet
            raw.execute(options["begin"])
        else:
            execute_when_free(raw, options["begin"], options["within"])

    return engine


def _connect(path: Path, mode: str, pragmas: Sequence[str]) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path))}?{mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,  # transactions are begun by the engine, not by the driver
        check_same_thread=False,
    )
    connection.text_factory = _text
    try:
        # Two processes that switch one new file to WAL: SQLite doesn't wait there by itself.
        until_free(
            lambda: [connection.execute(f"PRAGMA {pragma}") for pragma in pragmas], pause=0.02
        )
    except BaseException:
        connection.close()
        raise
    return connection


def _text(stored: bytes) -> str:
    """Decode a text; one that is damaged is noticed by its trace's checksum, not here."""
    return stored.decode(errors="replace")


def log_bytes(path: Path) -> int:
    """Return the size of a database's write-ahead log; 0 if there is none."""
    try:
        return _log(path).stat().st_size
    except FileNotFoundError:
        return 0


def _log(path: Path) -> Path:
    return path.with_name(f"{path.name}-wal")
