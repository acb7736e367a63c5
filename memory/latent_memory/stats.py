"""How large a memory is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import latent_migrations
from latent_memory.index.index_state import snapshot_folder
from latent_memory.listing import ShelfInfo, list_shelves
from latent_memory.sqlite import Database, backups, log_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """How large a memory is.

    Attributes:
        path: The database file.
        revision: Its schema's revision.
        traces: How many traces it holds.
        shelves: The shelves that they lie on.
        database_bytes: Size of the database file.
        log_bytes: Size of its write-ahead log.
        index_bytes: Size of its index snapshots.
        backups: Copies that migrations made.
    """

    path: Path
    revision: str
    traces: int
    shelves: Sequence[ShelfInfo]
    database_bytes: int
    log_bytes: int
    index_bytes: int
    backups: Sequence[Path]


def read_stats(database: Database) -> Stats:
    """Read the sizes of a database and of what lies beside it."""
    with database.read() as connection:
        shelves = list_shelves(connection)
        revision = latent_migrations.current(connection)
    folder = snapshot_folder(database.path)
    snapshots = list(folder.iterdir()) if folder.is_dir() else []
    return Stats(
        path=database.path,
        revision=revision or "",
        traces=sum(info.traces for info in shelves),
        shelves=shelves,
        database_bytes=database.path.stat().st_size,
        log_bytes=log_bytes(database.path),
        index_bytes=sum(file.stat().st_size for file in snapshots),
        backups=backups(database.path),
    )
