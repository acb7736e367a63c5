"""The schema of a database: made, recognised, brought up to date."""

import logging
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import URL, Connection, inspect

import latent_migrations
from latent_memory.database import Address, Database
from latent_memory.errors import LocationError, SchemaError
from latent_memory.locations import locate, shown
from latent_memory.sqlite import FileAddress

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Migration:
    """What it takes, or took, to bring a database to the newest revision.

    Attributes:
        path: The database file, or its URL without a password.
        current: The revision that it was at.
        head: The newest revision.
        pending: Each revision in between, oldest first.
        backup: The copy that was made beforehand.
    """

    path: Path | str
    current: str
    head: str
    pending: Sequence[str]
    backup: Path | None = None


def address_of(location: str | Path | URL) -> Address:
    """Return the address that a location names.

    Raises:
        LocationError: If it names none, or its server's driver is not installed.
    """
    found = locate(location)
    if isinstance(found, Path):
        return FileAddress(found)
    try:  # an extra brings its driver
        from latent_memory.postgres.address import ServerAddress
    except ModuleNotFoundError as error:
        raise LocationError(
            f"a memory on a server needs its driver, got {str(shown(found))!r} without it "
            f"({error}); run: pip install 'latent-agent[postgres]'"
        ) from error
    return ServerAddress(found)


def open_database(location: str | Path | URL, *, readonly: bool) -> Database:
    """Open a database that is at the newest revision; a new one is made so.

    A file that cannot be written is opened for reading only, with a logged warning.

    Raises:
        LocationError: If there is no database of ours at the location, and none can be made.
        SchemaError: If the database is behind or ahead of this program; it is left as it is.
    """
    address = address_of(location)
    if not readonly:
        address.make()
    writable = not readonly and address.is_writable()
    revision = _revision(address)
    if revision is not None:
        _require_head(revision, address)
    elif writable:
        _create(address)
    else:
        raise LocationError(
            f"a memory must have been written once to be read, but {_shown(address)} is empty; "
            "the first question writes it (latent-agent ask QUESTION), or name another place with "
            "--memory"
        )
    if not readonly and not writable:
        logger.warning("%s cannot be written: it is open for reading only", address.place)

    def guard(connection: Connection) -> None:
        _require_head(latent_migrations.current(connection), address)

    return address.open(readonly=not writable, guard=guard)


def migrate(location: str | Path | URL, *, dry_run: bool = False) -> Migration:
    """Bring a database to the newest revision; return what was (to be) done.

    A file is copied beforehand; a database on a server is its administrator's to back up.

    Raises:
        LocationError: If there is no database of ours at the location.
        SchemaError: If the database is ahead of this program; it is left as it is.
        StorageError: If the disk refuses; the database is at its old revision then.
    """
    address = address_of(location)
    revision = _revision(address)
    if revision is None:
        raise LocationError(
            f"a memory must hold something to be migrated, but {_shown(address)} is empty; it gets "
            "the newest schema when it is first used"
        )
    plan = Migration(
        path=address.place,
        current=revision,
        head=latent_migrations.head(),
        pending=_pending(revision, address),
    )
    if dry_run or not plan.pending:
        return plan
    database = address.open(readonly=not address.is_writable())
    try:
        with database.write() as connection:
            if latent_migrations.current(connection) != revision:
                raise SchemaError(
                    f"a memory must be migrated by one process alone, but another one changed "
                    f"{_shown(address)} meanwhile; look again with: {_command(address)}"
                )
            copy = address.backup(revision)
            latent_migrations.upgrade(connection)
    finally:
        database.close()
    return replace(plan, backup=copy)


def _create(address: Address) -> None:
    database = address.open(readonly=False)
    try:
        with database.write() as connection:
            if latent_migrations.current(connection) is None:  # unless another process was faster
                latent_migrations.upgrade(connection)
                address.mark(connection)
    finally:
        database.close()


def _revision(address: Address) -> str | None:
    """Look up the revision of a database of ours; None if it is empty."""
    with address.look() as connection:
        schema = latent_migrations.schema_of(connection)
        if not inspect(connection).get_table_names(schema):
            return None
        revision = latent_migrations.current(connection)
        if revision is None or not address.is_marked(connection):
            raise LocationError(
                f"a memory must be a database of its own, got {_shown(address)}, which another "
                "program made; give another one"
            )
        return revision


def _require_head(revision: str | None, address: Address) -> None:
    if pending := _pending(revision, address):
        raise SchemaError(
            f"a memory must be at revision {latent_migrations.head()}, got {_shown(address)} at "
            f"{revision!r}, which lacks {', '.join(pending)}; run: {_command(address)}"
        )


def _pending(revision: str | None, address: Address) -> Sequence[str]:
    try:
        return latent_migrations.pending(revision)
    except KeyError:
        raise SchemaError(
            f"a memory must be at revision {latent_migrations.head()} at most, got "
            f"{_shown(address)} at {revision!r}, which a newer version made; it was left as it is; "
            "install that version, or name another place with --memory"
        ) from None


def _shown(address: Address) -> str:
    return repr(str(address.place))


def _command(address: Address) -> str:
    return f"latent-agent migrate --memory {shlex.quote(str(address.place))}"
