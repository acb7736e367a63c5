"""What a shelf's index must know: which embeddings came to the shelf, which left it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, select

from latent_memory.errors import DamageError
from latent_memory.rows import on_shelf
from latent_memory.snapshot import Position
from latent_memory.tables import deletions, embeddings, shelves, traces
from latent_memory.trace import Matrix, Shelf

Ids = NDArray[np.int64]

START = Position(trace=0, deletion=0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ShelfRow:
    """A shelf as the database knows it.

    Attributes:
        id: Its number, never used again.
        dimension: Length of its embeddings (e).
        identity: Random; its index snapshot bears it.
        generation: Of the newest index snapshot.
    """

    id: int
    dimension: int
    identity: str
    generation: int


@dataclass(frozen=True, kw_only=True, eq=False)
class News:
    """What happened on a shelf.

    Attributes:
        ids: Ids of the traces that came and are still there, ascending, (n,).
        vectors: Their embeddings, (n, e).
        gone: Ids of the traces that left, whether or not they are known.
        position: Up to where this is the news.
    """

    ids: Ids
    vectors: Matrix
    gone: Ids
    position: Position


NOTHING = News(
    ids=np.empty(0, dtype=np.int64),
    vectors=np.empty((0, 0), dtype=np.float32),
    gone=np.empty(0, dtype=np.int64),
    position=START,
)


def find_shelf(connection: Connection, shelf: Shelf) -> ShelfRow | None:
    """Look a shelf up by its names; None if nothing lies on it."""
    columns = (shelves.c.id, shelves.c.dimension, shelves.c.identity, shelves.c.generation)
    row = connection.execute(select(*columns).where(on_shelf(shelf))).one_or_none()
    return (
        None
        if row is None
        else ShelfRow(
            id=row.id, dimension=row.dimension, identity=row.identity, generation=row.generation
        )
    )


def read_news(connection: Connection, shelf: ShelfRow, since: Position) -> News:
    """Read what happened on a shelf since ``since``, all in the connection's transaction.

    Ids grow in the order of commits, since there is one writer at a time: nothing that comes
    later has an id below ``position``.
    """
    came = connection.execute(
        select(traces.c.id, embeddings.c.vector)
        .join(embeddings, embeddings.c.trace == traces.c.id)
        .where(traces.c.shelf == shelf.id, traces.c.id > since.trace)
        .order_by(traces.c.id)
    ).all()
    gone = connection.execute(
        select(deletions.c.seq, deletions.c.trace)
        .where(deletions.c.shelf == shelf.id, deletions.c.seq > since.deletion)
        .order_by(deletions.c.seq)
    ).all()
    ids, vectors = _unpacked(came, shelf.dimension)
    return News(
        ids=ids,
        vectors=vectors,
        gone=np.array([row.trace for row in gone], dtype=np.int64),
        position=Position(
            trace=int(ids[-1]) if len(ids) else since.trace,
            deletion=gone[-1].seq if gone else since.deletion,
        ),
    )


def read_vectors(connection: Connection, shelf: ShelfRow, ids: Ids) -> tuple[Ids, Matrix]:
    """Read the embeddings under ``ids`` that are still on the shelf, with their ids, ascending."""
    rows = connection.execute(
        select(traces.c.id, embeddings.c.vector)
        .join(embeddings, embeddings.c.trace == traces.c.id)
        .where(traces.c.shelf == shelf.id, traces.c.id.in_(ids.tolist()))
        .order_by(traces.c.id)
    ).all()
    return _unpacked(rows, shelf.dimension)


def _unpacked(rows: Sequence[Row[int, bytes]], dimension: int) -> tuple[Ids, Matrix]:
    for row in rows:
        if len(row.vector) != 4 * dimension:
            raise DamageError(
                f"an embedding must hold {dimension} numbers, but trace {row.id!r} has "
                f"{len(row.vector)} bytes; run: latent-agent memory forget --id {row.id!r}"
            )
    ids = np.fromiter((row.id for row in rows), dtype=np.int64, count=len(rows))
    vectors = np.frombuffer(b"".join(row.vector for row in rows), "<f4")
    return ids, vectors.reshape(len(rows), dimension)
