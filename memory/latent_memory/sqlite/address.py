"""Where a database file lies, or is to lie."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from latent_memory.database import Address, Database, Guard
from latent_memory.sqlite.backup import backup
from latent_memory.sqlite.database import SqliteDatabase
from latent_memory.sqlite.opening import is_writable, look, make_file

# Marks the file as ours, in its header; the letters "LatM".
APPLICATION_ID = 0x4C61744D


class FileAddress(Address):
    """The address of a database file."""

    def __init__(self, path: Path) -> None:
        self.path = self.place = path

    def make(self) -> None:
        """Make an empty file, for its owner's eyes only, unless there is one."""
        make_file(self.path)

    def is_writable(self) -> bool:
        """Whether the file can be written, and the log and locks beside it."""
        return is_writable(self.path)

    @contextmanager
    def look(self) -> Generator[Connection]:
        """Give a connection that leaves the file and its folder as they are."""
        with look(self.path) as connection:
            yield connection

    def open(self, *, readonly: bool, guard: Guard | None = None) -> Database:
        """Open the file."""
        return SqliteDatabase(self.path, readonly=readonly, guard=guard)

    def backup(self, revision: str) -> Path:
        """Copy the file, beside it."""
        return backup(self.path, revision)

    def mark(self, connection: Connection) -> None:
        """Mark a new database as ours."""
        connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")

    def is_marked(self, connection: Connection) -> bool:
        """Whether it is marked as ours."""
        return connection.exec_driver_sql("PRAGMA application_id").scalar() == APPLICATION_ID
