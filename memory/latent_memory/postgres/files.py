"""The named files of a memory as rows: hosts share no folder."""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.dialects.postgresql import insert

from latent_memory.database import Database, Files, StoredFile
from latent_memory.errors import LatentMemoryError
from latent_memory.postgres.rows import files
from latent_memory.trace_rows import to_time

logger = logging.getLogger(__name__)

_NAMED = files.c.name == bindparam("named")
_INSERT = insert(files)
_WRITE = _INSERT.on_conflict_do_update(
    index_elements=["name"],
    set_={name: _INSERT.excluded[name] for name in ("content", "written")},
)


class FileRows(Files):
    """Files in the database itself."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, name: str) -> bytes:
        """Return a file's content."""
        with self._database.read() as connection:
            content = connection.scalar(select(files.c.content).where(_NAMED), {"named": name})
        if content is None:
            raise FileNotFoundError(f"the memory has no file {name!r}")
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file in a transaction of its own."""
        row = {"name": name, "content": content, "written": to_time(datetime.now(UTC))}
        with self._database.write() as connection:
            connection.execute(_WRITE, row)

    def delete(self, name: str) -> Sequence[str]:
        """Delete a file; if that fails, it is logged: what it belonged to is gone all the same."""
        try:
            with self._database.write() as connection:
                connection.execute(delete(files).where(_NAMED), {"named": name})
        except LatentMemoryError as error:
            logger.warning("%s may hold what is erased, and could not be deleted: %s", name, error)
            return [name]
        return []

    def list(self) -> Sequence[StoredFile]:
        """Return the files."""
        wanted = select(files.c.name, func.length(files.c.content), files.c.written)
        with self._database.read() as connection:
            return [
                StoredFile(name=name, size=size, written=written / 1e6)
                for name, size, written in connection.execute(wanted.order_by(files.c.name))
            ]
