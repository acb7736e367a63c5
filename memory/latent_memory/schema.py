"""The schema of a database: made, recognised, brought up to date."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, inspect

import latent_migrations
from latent_memory.errors import LocationError, SchemaError
from latent_memory.locations import locate
from latent_memory.sqlite import (
    Database,
    backup,
    is_marked,
    is_writable,
    look,
    make_file,
    mark,
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Migration:
    """What it takes, or took, to bring a database to the newest revision.

    Attributes:
        path: The database file.
        current: The revision that it was at.
        head: The newest revision.
        pending: Each revision in between, oldest first.
        backup: The copy that was made beforehand.
    """

    path: Path
    current: str
    head: str
    pending: Sequence[str]
    backup: Path | None = None


def open_database(location: str | Path, *, readonly: bool) -> Database:
    """Open a database that is at the newest revision; a new one is made so.

    A file that cannot be written is opened for reading only, with a logged warning.

    Raises:
        LocationError: If there is no database of ours at the location, and none can be made.
        SchemaError: If the database is behind or ahead of this program; it is left as it is.
    """
    path = locate(location)
    if not readonly:
        make_file(path)
    writable = not readonly and is_writable(path)
    revision = _revision(path)
    if revision is not None:
        _require_head(revision, path)
    elif writable:
        _create(path)
    else:
        raise LocationError(
            f"a memory must have been written once to be read, but {str(path)!r} is empty; "
            "the first question writes it (latent-agent ask QUESTION), or name another place with "
            "--memory"
        )
    if not readonly and not writable:
        logger.warning("%s cannot be written: it is open for reading only", path)

    def guard(connection: Connection) -> None:
        _require_head(latent_migrations.current(connection), path)

    return Database(path, readonly=not writable, guard=guard)


def migrate(location: str | Path, *, dry_run: bool = False) -> Migration:
    """Bring a database to the newest revision, after copying it; return what was (to be) done.

    Raises:
        LocationError: If there is no database of ours at the location.
        SchemaError: If the database is ahead of this program; it is left as it is.
        StorageError: If the disk refuses; the database is at its old revision then.
    """
    path = locate(location)
    revision = _revision(path)
    if revision is None:
        raise LocationError(
            f"a memory must hold something to be migrated, but {str(path)!r} is empty; it gets "
            "the newest schema when it is first used"
        )
    plan = Migration(
        path=path,
        current=revision,
        head=latent_migrations.head(),
        pending=_pending(revision, path),
    )
    if dry_run or not plan.pending:
        return plan
    database = Database(path, readonly=not is_writable(path))
    try:
        with database.write() as connection:
            if latent_migrations.current(connection) != revision:
                raise SchemaError(
                    f"a memory must be migrated by one process alone, but another one changed "
                    f"{str(path)!r} meanwhile; look again with: {_command(path)}"
                )
            copy = backup(path, revision)
            latent_migrations.upgrade(connection)
    finally:
        database.close()
    return replace(plan, backup=copy)


def _create(path: Path) -> None:
    database = Database(path, readonly=False)
    try:
        with database.write() as connection:
            if latent_migrations.current(connection) is None:  # unless another process was faster
                mark(connection)
                latent_migrations.upgrade(connection)
    finally:
        database.close()


def _revision(path: Path) -> str | None:
    """Look up the revision of a database of ours; None if it is empty."""
    with look(path) as connection:
        if not inspect(connection).get_table_names():
            return None
        revision = latent_migrations.current(connection)
        if revision is None or not is_marked(connection):
            raise LocationError(
                f"a memory must be a database of its own, got {str(path)!r}, which another "
                "program made; give another path"
            )
        return revision


def _require_head(revision: str | None, path: Path) -> None:
    if pending := _pending(revision, path):
        raise SchemaError(
            f"a memory must be at revision {latent_migrations.head()}, got {str(path)!r} at "
            f"{revision!r}, which lacks {', '.join(pending)}; run: {_command(path)}"
        )


def _pending(revision: str | None, path: Path) -> Sequence[str]:
    try:
        return latent_migrations.pending(revision)
    except KeyError:
        raise SchemaError(
            f"a memory must be at revision {latent_migrations.head()} at most, got {str(path)!r} "
            f"at {revision!r}, which a newer version made; it was left as it is; run: pip install "
            "--upgrade latent-agent"
        ) from None


def _command(path: Path) -> str:
    return f"latent-agent migrate --memory {shlex.quote(str(path))}"
