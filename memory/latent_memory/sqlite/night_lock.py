"""The night's lock of a database file; the system frees the lock of a dead process.

The lock lies on a file beside the database; its holder's name lies in a second one, since an
attempt to take the lock may empty the first.
"""

import json
import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from latent_memory.database import NightHeldError
from latent_memory.sqlite.folder import HOLDER, LOCK, priors_folder

_PATIENCE = 1.0  # seconds: a look whether a night runs holds it for an instant


@contextmanager
def hold(database: Path) -> Generator[Callable[[], bool]]:
    """Hold the lock; see ``Database.night_lock``."""
    folder = priors_folder(database)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK, timeout=_PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        raise NightHeldError(_holder(folder)) from None
    try:
        _sign(folder / HOLDER)
        yield lambda: True  # the system takes it from nobody who lives
    finally:
        lock.release()


def is_held(database: Path) -> bool:
    """Whether the lock is held, or cannot be tried."""
    path = priors_folder(database) / LOCK
    if not path.is_file():
        return False
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except OSError:  # also that it timed out
        return True
    lock.release()
    return False


def _sign(path: Path) -> None:
    who = {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    path.write_text(json.dumps(who), "utf-8")


def _holder(folder: Path) -> str:
    try:
        who = json.loads((folder / HOLDER).read_text("utf-8"))
        return f"process {who['pid']} on {who['host']} (since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
