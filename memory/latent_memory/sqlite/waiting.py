"""How a process waits for others.

SQLite itself checks only every 100 ms whether a lock is free. Where several processes write all
the time it is nearly always taken, and a process that checks so rarely can wait forever.
"""

import random
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

BUSY_SECONDS = 30
_GAP = 0.25  # share of a write's time that passes before the same process writes again,
_LONGEST_GAP = 0.02  # in seconds at most
_CHECKPOINT_SECONDS = 0.05  # that writers are held up while one waits for readers to leave


class WriterTurn:
    """Lets other processes write in between: the last writer could always be first again."""

    def __init__(self) -> None:
        self._next = 0.0

    @contextmanager
    def taken(self) -> Generator[None]:
        """Write; if this process has just written, after a pause in which others may begin."""
        time.sleep(max(0.0, self._next - time.monotonic()))
        began = time.monotonic()
        yield
        ended = time.monotonic()
        self._next = ended + min(_GAP * (ended - began), _LONGEST_GAP)


def attempts(seconds: float, pause: float) -> Iterator[None]:
    """Yield at once, then again after pauses of about ``pause``, until ``seconds`` are over."""
    until = time.monotonic() + seconds
    yield
    while time.monotonic() < until:
        time.sleep(random.uniform(0.5, 1.5) * pause)
        yield


def until_free(
    work: Callable[[], object], pause: float = 0.002, seconds: float = BUSY_SECONDS
) -> None:
    """Do work that another process's lock can refuse, again and again until it is done.

    Raises:
        sqlite3.OperationalError: If another process has had the lock all the time.
    """
    refusal: sqlite3.Error | None = None
    for _ in attempts(seconds, pause):
        try:
            work()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            refusal = error
        else:
            return
    assert refusal is not None
    raise refusal


def execute_when_free(
    connection: sqlite3.Connection, statement: str, within: float | None = None
) -> None:
    """Execute a statement that takes the writer's lock, as soon as it is free.

    It waits as long as others finish what they write: on a busy machine that can take long, and is
    no failure. With ``within`` it waits at most that many seconds.

    Raises:
        sqlite3.OperationalError: If no other process finished a write in ``BUSY_SECONDS``, or
            the lock was not free ``within`` its time.
    """
    _wait(connection, 0)
    seconds = BUSY_SECONDS if within is None else within
    try:
        while True:
            seen = _version(connection)
            try:
                return until_free(lambda: connection.execute(statement), seconds=seconds)
            except sqlite3.OperationalError:
                if within is not None or _version(connection) == seen:
                    raise
    finally:
        _wait(connection, BUSY_SECONDS)


def _version(connection: sqlite3.Connection) -> int:
    """Return a number that changes when another connection has written."""
    return connection.execute("PRAGMA data_version").fetchone()[0]


def checkpoint(connection: sqlite3.Connection) -> bool:
    """Empty the write-ahead log, unless another reads or writes; return whether it is empty.

    SQLite would hold writers up for as long as it waits for readers, so it waits for a moment
    only. Try again later if it is not empty.
    """
    _wait(connection, _CHECKPOINT_SECONDS)
    try:
        return connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    finally:
        _wait(connection, BUSY_SECONDS)


def _wait(connection: sqlite3.Connection, seconds: float) -> None:
    """Let SQLite itself wait ``seconds`` for a lock."""
    connection.execute(f"PRAGMA busy_timeout = {1000 * seconds:.0f}")
