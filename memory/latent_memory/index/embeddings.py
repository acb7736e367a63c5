"""What a shelf's index must know: which embeddings were added to the shelf, which deleted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, Row, bindparam, func, select

from latent_memory.errors import DamageError
from latent_memory.index.index import Ids
from latent_memory.index.snapshot import Position
from latent_memory.tables import deletions, embeddings, shelves, traces
from latent_memory.trace import Matrix, Shelf
from latent_memory.trace_rows import ON_SHELF, extreme, names

_FIND_SHELF = select(
    shelves.c.id,
    shelves.c.dimension,
    shelves.c.identity,
    shelves.c.generation,
    extreme(func.max(traces.c.id), traces).label("trace"),
    extreme(func.max(deletions.c.seq), deletions).label("deletion"),
).where(ON_SHELF)
_ROWS = (
    select(traces.c.id, embeddings.c.vector)
    .join(embeddings, embeddings.c.trace == traces.c.id)
    .where(traces.c.shelf == bindparam("shelf"))
    .order_by(traces.c.id)
)
_ADDED = _ROWS.where(traces.c.id > bindparam("after"))
_VECTORS = _ROWS.where(traces.c.id.in_(bindparam("ids", expanding=True)))
_IDS = select(traces.c.id).where(
    traces.c.shelf == bindparam("shelf"), traces.c.id <= bindparam("until")
)
_GONE = select(deletions.c.trace).where(
    deletions.c.shelf == bindparam("shelf"), deletions.c.seq > bindparam("after")
)

START = Position(trace=0, deletion=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShelfRow:
    """A shelf as the database knows it.

    Attributes:
        id: Its number, never used again.
        dimension: Length of its embeddings (e).
        identity: Random; its index snapshot bears it.
        generation: Of the newest index snapshot.
        newest: The newest trace on it, and the newest deletion from it; 0 for none.
    """

    id: int
    dimension: int
    identity: str
    generation: int
    newest: Position


@dataclass(frozen=True, kw_only=True, eq=False)
class Changes:
    """What happened on a shelf.

    Attributes:
        ids: Ids of the traces that were added and are still there, ascending, (n,).
        vectors: Their embeddings, (n, e).
        gone: Ids of the traces that were deleted, whether or not they are known.
        position: Up to where these are the changes.
    """

    ids: Ids
    vectors: Matrix
    gone: Ids
    position: Position


def find_shelf(connection: Connection, shelf: Shelf) -> ShelfRow | None:
    """Look a shelf up by its names; None if nothing lies on it."""
    row = connection.execute(_FIND_SHELF, names(shelf)).one_or_none()
    if row is None:
        return None
    return ShelfRow(
        id=row.id,
        dimension=row.dimension,
        identity=row.identity,
        generation=row.generation,
        newest=Position(trace=row.trace, deletion=row.deletion),
    )


def read_changes(connection: Connection, shelf: ShelfRow, since: Position) -> Changes:
    """Read what happened on a shelf since ``since``, in the transaction that found the shelf.

    Ids grow in the order of commits, since there is one writer at a time: nothing that is added
    later has an id below ``newest``.
    """
    added: Sequence[Row[int, bytes]] = ()
    gone: Sequence[int] = ()
    if shelf.newest.trace > since.trace:
        added = connection.execute(_ADDED, {"shelf": shelf.id, "after": since.trace}).all()
    if shelf.newest.deletion > since.deletion:
        after = {"shelf": shelf.id, "after": since.deletion}
        gone = connection.execute(_GONE, after).scalars().all()
    ids, vectors = _unpacked(added, shelf.dimension)
    position = Position(
        trace=max(since.trace, shelf.newest.trace),
        deletion=max(since.deletion, shelf.newest.deletion),
    )
    removed = np.array(gone, dtype=np.int64)
    return Changes(ids=ids, vectors=vectors, gone=removed, position=position)


def read_vectors(connection: Connection, shelf: ShelfRow, ids: Ids) -> tuple[Ids, Matrix]:
    """Read the embeddings under ``ids`` that are still on the shelf, with their ids, ascending."""
    rows = connection.execute(_VECTORS, {"shelf": shelf.id, "ids": ids.tolist()}).all()
    return _unpacked(rows, shelf.dimension)


def read_ids(connection: Connection, shelf: ShelfRow, at: Position) -> set[int]:
    """Read which traces an index that is up to date to ``at`` must hold.

    What was forgotten later than that may be among its ids still, so it counts as there.
    """
    known = {"shelf": shelf.id, "until": at.trace}
    gone = {"shelf": shelf.id, "after": at.deletion}
    there = set(connection.execute(_IDS, known).scalars())
    return there.union(one for one in connection.execute(_GONE, gone).scalars() if one <= at.trace)


def _unpacked(rows: Sequence[Row[int, bytes]], dimension: int) -> tuple[Ids, Matrix]:
    for row in rows:
        if len(row.vector) != 4 * dimension:
            raise DamageError(
                f"an embedding must hold {dimension} numbers, but trace {row.id!r} has "
                f"{len(row.vector)} bytes; run: latent-agent memory forget {row.id!r}"
            )
    ids = np.fromiter((row.id for row in rows), dtype=np.int64, count=len(rows))
    vectors = np.frombuffer(b"".join(row.vector for row in rows), "<f4")
    return ids, vectors.reshape(len(rows), dimension)
