"""SQLite's errors in our words."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from latent_memory.errors import (
    DamageError,
    LatentMemoryError,
    LocationError,
    ReadOnlyError,
    StorageError,
)
from latent_memory.sqlite.waiting import BUSY_SECONDS


@contextmanager
def translated(path: Path) -> Generator[None]:
    """Turn SQLite's and the system's errors into ours."""
    try:
        yield
    except DBAPIError as error:
        raise (_ours(error.orig, path) or error) from error
    except sqlite3.Error as error:
        raise (_ours(error, path) or error) from error


def _ours(error: BaseException | None, path: Path) -> LatentMemoryError | None:
    where = f"{str(path)!r} ({error})"
    match getattr(error, "sqlite_errorname", "_").split("_")[1]:
        case "BUSY" | "LOCKED":
            return StorageError(
                f"a memory must be free within {BUSY_SECONDS} seconds, or what is left of a call's "
                f"timeout, but another process kept its lock on {where}; nothing was changed; try "
                "again once it has finished"
            )
        case "FULL" | "IOERR" | "NOMEM":
            return StorageError(
                f"the disk must take what is written, but writing failed at {where}; nothing was "
                "changed; make room, or give another place"
            )
        case "READONLY" | "PERM":
            return ReadOnlyError(
                f"a memory must be writable to be changed, got {where}; make the file and its "
                "folder writable, or open it with mode='read'"
            )
        case "CANTOPEN" | "AUTH":
            return LocationError(
                f"a memory must be a file that can be opened, got {where}; check that the file is "
                "there and its folder can be written to"
            )
        case "NOTADB":
            return LocationError(
                f"a memory must be an SQLite database, got {where}; give another path, or move "
                "that file away"
            )
        case "CORRUPT":
            return DamageError(
                f"a memory must be a sound SQLite database, got {where}; restore a copy, or move "
                "the file away and start again"
            )
        case _:
            return None
