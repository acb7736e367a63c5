"""One night at a time for each memory, over all processes; the system frees the lock of a dead one.

The lock lies on a file in the priors' folder; its holder's name lies in a second file, since
an attempt to take the lock may empty the first.
"""

import json
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock, Timeout

from latent_agent.errors import NightRunningError
from latent_memory.priors.priors import priors_folder

_LOCK, _HOLDER = "night.lock", "night.json"
_PATIENCE = 1.0  # seconds: a look whether a night runs holds it for an instant
LOCK_FILES = frozenset({_LOCK, _HOLDER})


@contextmanager
def night_lock(database: Path) -> Generator[None]:
    """Hold the night's lock of a memory.

    Raises:
        NightRunningError: If it is held; names the holder.
    """
    folder = priors_folder(database)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / _LOCK, timeout=_PATIENCE)
    try:
        lock.acquire()
    except Timeout:
        raise NightRunningError(
            f"one night at a time may run on {str(database)!r}, but {_holder(folder)} runs one; "
            "wait until it ends"
        ) from None
    try:
        _sign(folder / _HOLDER)
        yield
    finally:
        lock.release()


def night_running(database: Path) -> bool:
    """Whether the night's lock of a memory is held, or cannot be tried."""
    path = priors_folder(database) / _LOCK
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
        who = json.loads((folder / _HOLDER).read_text("utf-8"))
        return f"process {who['pid']} on {who['host']} (since {who['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
