"""What this process knows of a shelf, and its snapshot on disk."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import update

from latent_memory.database import Database
from latent_memory.errors import LatentMemoryError
from latent_memory.files import delete_file
from latent_memory.index.embeddings import ShelfRow, find_shelf, read_ids, read_vectors
from latent_memory.index.index import Ids, VectorIndex
from latent_memory.index.snapshot import (
    Position,
    UntrustedError,
    load_snapshot,
    read_head,
    save_snapshot,
)
from latent_memory.tables import shelves
from latent_memory.trace import Matrix, Shelf

logger = logging.getLogger(__name__)

_SAVE_SECONDS = 1.0  # that opening an index waits for one that is being saved, at most


@dataclass(kw_only=True)
class Known:
    """An index of the shelf ``row`` that is up to date to ``position``.

    ``unsaved`` counts what was added and removed since the last snapshot.
    """

    row: ShelfRow
    index: VectorIndex
    position: Position
    unsaved: int


def snapshot_path(folder: Path, shelf: int) -> Path:
    """Return the file of the snapshot of the shelf with this id."""
    return folder / f"{shelf}.index"


def drop_snapshot(database: Database, shelf: int) -> Sequence[str]:
    """Delete a shelf's snapshot; return where it still lies if that cannot be done."""
    if database.snapshots is None:
        return []
    path = snapshot_path(database.snapshots, shelf)
    return [] if delete_file(path) else [str(path)]


def load(database: Database, shelf: Shelf) -> Known | None:
    """Read a shelf's snapshot; None if there is none that can be trusted.

    One whose generation is not the database's is of another time of the database: a restored
    copy, or a snapshot that was cut short.
    """
    if database.snapshots is None:
        return None
    known, generation = _read(database, database.snapshots, shelf)
    if known is not None and generation > known.row.generation:
        # A save writes its file before it commits: it may be under way, so look again after it.
        with suppress(LatentMemoryError), database.write(within=_SAVE_SECONDS):
            pass
        known, generation = _read(database, database.snapshots, shelf)
    if known is not None and generation != known.row.generation:
        logger.warning(
            "index file %s is not used, the index is rebuilt: it is of generation %d, the "
            "database of %d",
            snapshot_path(database.snapshots, known.row.id),
            generation,
            known.row.generation,
        )
        return None
    return known


def _read(database: Database, folder: Path, shelf: Shelf) -> tuple[Known | None, int]:
    """Read a shelf's row, then its snapshot, and the generation that the snapshot's file bears."""
    with database.read() as connection:
        row = find_shelf(connection, shelf)
    if row is None:
        return None, 0

    def vectors(ids: Ids) -> tuple[Ids, Matrix]:
        with database.read() as connection:
            return read_vectors(connection, row, ids)

    loaded = load_snapshot(snapshot_path(folder, row.id), row.identity, vectors)
    if loaded is None:
        return None, 0
    index, head = loaded
    known = Known(row=row, index=index, position=head.position, unsaved=0)
    return known, head.generation


def save(database: Database, known: Known) -> None:
    """Write a shelf's snapshot, or remove that of an index that needs none any more.

    If that fails, only the next opening is slower: it is logged.
    """
    known.unsaved = 0
    if database.readonly or database.snapshots is None:
        return
    path = snapshot_path(database.snapshots, known.row.id)
    if known.index.layout.flat and not path.exists():
        return
    raised = (
        update(shelves)
        .where(shelves.c.id == known.row.id)
        .values(generation=shelves.c.generation + 1)
        .returning(shelves.c.generation)
    )
    try:
        # Inside the transaction, so that of two processes the later one's file is the one whose
        # generation the database bears.
        with database.write() as connection:
            generation = connection.execute(raised).scalar()
            if generation is not None:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                save_snapshot(path, known.index, known.position, generation, known.row.identity)
    except (LatentMemoryError, OSError) as error:
        logger.warning("index file %s could not be written: %s", path, error)


@dataclass(frozen=True, kw_only=True, slots=True)
class SnapshotState:
    """The state of a shelf's snapshot.

    Attributes:
        vectors: How many traces it sorts into lists; None: there is no file, as for a small shelf.
        fault: Why it is not used, so that the index is rebuilt; None if it is.
    """

    vectors: int | None = None
    fault: str | None = None


def check_snapshot(database: Database, shelf: Shelf) -> SnapshotState:
    """Check that a shelf's snapshot is whole, of the database's generation, and complete.

    No embedding is read, and of the traces only their ids.
    """
    if database.snapshots is None:
        return SnapshotState()
    with database.read() as connection:
        row = find_shelf(connection, shelf)
        if row is None:
            return SnapshotState()
        try:
            head = read_head(snapshot_path(database.snapshots, row.id), row.identity)
        except FileNotFoundError:
            return SnapshotState()
        except (OSError, UntrustedError) as problem:
            return SnapshotState(fault=str(problem))
        wanted = len(read_ids(connection, row, head.position))
    fault = None
    if head.generation != row.generation:
        fault = f"it is of generation {head.generation}, the database of {row.generation}"
    elif head.vectors != wanted:
        fault = f"it holds {head.vectors} traces of {wanted}"
    return SnapshotState(vectors=head.vectors, fault=fault)
