"""Copies of a whole database, made before it is migrated."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from latent_memory.errors import StorageError
from latent_memory.files import sync
from latent_memory.sqlite.errors import translated
from latent_memory.sqlite.waiting import BUSY_SECONDS


def backup(path: Path, revision: str) -> Path:
    """Copy a database as it is now, beside it; the copy is there as a whole, or not at all.

    Raises:
        StorageError: If the copy cannot be written.
    """
    target = path.with_name(f"{path.name}.backup-{revision}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
    partial = target.with_name(f"{target.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        partial.touch(0o600)
        with (
            translated(partial),
            closing(sqlite3.connect(path, timeout=BUSY_SECONDS)) as source,
            closing(sqlite3.connect(partial)) as copy,
        ):
            source.backup(copy)
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    except OSError as error:
        raise StorageError(
            f"the disk must take a copy of the memory, but writing {str(target)!r} failed "
            f"({error}); nothing was changed; make room"
        ) from error
    return target


def backups(path: Path) -> Sequence[Path]:
    """Return the copies of a database that ``backup`` made, and what is left of unfinished ones."""
    prefix = f"{path.name}.backup-"
    return sorted(file for file in path.parent.iterdir() if file.name.startswith(prefix))
