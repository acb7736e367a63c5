"""Recall on a server: the nearest vectors by pgvector, ranked by the embeddings themselves."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from pgvector import HalfVector
from sqlalchemy import Connection, bindparam, func, select, text

from latent_memory.database import Database, Nearest
from latent_memory.errors import DamageError
from latent_memory.index.ivf_layout import IndexSettings, unit_rows
from latent_memory.index.shelf_index import OpenIndexes
from latent_memory.postgres.engine import CANDIDATES
from latent_memory.postgres.rows import centres, vectors
from latent_memory.postgres.vectors import WIDEST, as_vector, stacked
from latent_memory.tables import shelves, traces
from latent_memory.trace import Matrix, Shelf, Vector
from latent_memory.trace_rows import ON_SHELF, check_width, names

_SPARE = 16  # candidates beside those asked for: two bytes a number can swap near neighbours

_FIND = (
    select(shelves.c.id, shelves.c.dimension, centres.c.mean, centres.c.graph)
    .outerjoin(centres, centres.c.shelf == shelves.c.id)
    .where(ON_SHELF)
)
_LOWEST = (
    select(traces.c.id)
    .where(traces.c.shelf == bindparam("of"))
    .order_by(traces.c.id)
    .limit(bindparam("most"))
)
_HELD = select(func.count()).select_from(vectors).where(vectors.c.shelf == bindparam("of"))
_LACKING = (
    select(func.count())
    .select_from(traces.outerjoin(vectors, vectors.c.trace == traces.c.id))
    .where(traces.c.shelf == bindparam("of"), vectors.c.trace.is_(None))
)
# What the planner knows of a growing table is old: it would rather scan and sort.
_BY_GRAPH = text("SELECT set_config('enable_sort', 'off', true)")
_NEAREST = """
SELECT e.trace AS id, e.vector FROM (
    SELECT trace FROM vectors WHERE shelf = {shelf} ORDER BY {distance} LIMIT :most
) AS near JOIN embeddings e ON e.trace = near.trace
"""


class ServerIndexes:
    """What searches the shelves of a memory on a server, for many threads.

    Args:
        database: Where they are.
        settings: Of FAISS, for embeddings that are too wide for pgvector.
        recentre: Writes the vectors of the shelf with a number anew.
    """

    def __init__(
        self, database: Database, settings: IndexSettings, recentre: Callable[[int], None]
    ) -> None:
        self._database, self._recentre = database, recentre
        self._wide = OpenIndexes(database, settings)

    def of(self, shelf: Shelf) -> Nearest:
        """Return what searches a shelf."""
        return ServerIndex(self._database, shelf, self._wide, self._recentre)

    def close(self) -> None:
        """Drop what FAISS holds."""
        self._wide.close()


class ServerIndex:
    """The vectors of one shelf; what is committed is searched.

    Args:
        database: Where they are.
        shelf: Whose they are.
        wide: Searches a shelf whose embeddings are too wide for pgvector.
        recentre: Writes the vectors of the shelf with a number anew.
    """

    def __init__(
        self,
        database: Database,
        shelf: Shelf,
        wide: OpenIndexes,
        recentre: Callable[[int], None],
    ) -> None:
        self._database, self._shelf = database, shelf
        self._wide, self._recentre = wide, recentre

    def search(self, query: Vector, k: int) -> list[tuple[int, float]]:
        """Return the nearest: of a small shelf exactly, of a large one by its graph."""
        with self._database.read() as connection:
            row = self._row(connection)
            if row is None:
                return []
            if row.dimension <= WIDEST:
                return self._found(connection, row, query, k)
        return self._wide.of(self._shelf).search(query, k)

    def _found(
        self, connection: Connection, row: Any, query: Vector, k: int
    ) -> list[tuple[int, float]]:
        check_width("embeddings", row.dimension, len(query), self._shelf)
        mean = np.zeros_like(query) if row.mean is None else as_vector(row.mean)
        unit = unit_rows(query[None].astype(np.float32), mean)
        if not unit.any():  # it has no direction
            lowest = connection.execute(_LOWEST, {"of": row.id, "most": k}).scalars()
            return [(id_, 0.0) for id_ in lowest]
        if row.graph:
            connection.execute(_BY_GRAPH)
        found = connection.execute(*_asked(row, unit[0], k)).all()
        return _ranked(found, unit, mean, k)

    def drop(self, ids: Iterable[int]) -> None:
        """Let FAISS forget them, if it knows them; pgvector does so by itself."""
        self._wide.of(self._shelf).drop(ids)

    def rebuild(self) -> int:
        """Learn the centre anew, and write the vectors from it."""
        with self._database.read() as connection:
            row = self._row(connection)
        if row is None:
            return 0
        if row.dimension > WIDEST:
            return self._wide.of(self._shelf).rebuild()
        self._recentre(row.id)
        with self._database.read() as connection:
            return connection.scalar(_HELD, {"of": row.id}) or 0

    def difference(self) -> str | None:
        """Say how many traces have no vector; there is none without its trace."""
        with self._database.read() as connection:
            row = self._row(connection)
            lacking = 0 if row is None else connection.scalar(_LACKING, {"of": row.id}) or 0
        if row is not None and row.dimension > WIDEST:
            return self._wide.of(self._shelf).difference()
        if not lacking:
            return None
        return (
            f"the vectors of namespace {self._shelf.namespace!r} must be those of its traces, but "
            f"{lacking} are missing; run: latent-agent memory rebuild"
        )

    def _row(self, connection: Connection) -> Any:
        return connection.execute(_FIND, names(self._shelf)).one_or_none()


def _asked(row: Any, unit: Vector, k: int) -> tuple[Any, dict[str, Any]]:
    """Return the statement that finds candidates, and its parameters.

    The shelf and the length are written out, as the graph's definition has them: a statement with
    parameters in their place would not be matched with it.
    """
    most = k + _SPARE
    if row.graph and most <= CANDIDATES:
        distance = f"unit::halfvec({row.dimension}) <#> :query"
    else:
        distance = "unit <#> :query, trace"
    statement = text(_NEAREST.format(shelf=int(row.id), distance=distance))
    return statement, {"query": HalfVector(unit), "most": most}


def _ranked(found: Any, unit: Matrix, mean: Vector, k: int) -> list[tuple[int, float]]:
    """Return the ``k`` best candidates by their exact similarity, ties by lower id.

    Raises:
        DamageError: If an embedding is not as it was stored.
    """
    if not found:
        return []
    ids = np.array([row.id for row in found], dtype=np.int64)
    # Row by row: a product of matrices rounds equal rows differently, by where they stand.
    scores = np.einsum("ij,j->i", unit_rows(stacked(found), mean), unit[0])
    if not np.isfinite(scores).all():
        raise DamageError(
            f"embeddings must be as they were stored, but that of trace "
            f"{ids[~np.isfinite(scores)][0]} is no vector; run: latent-agent memory verify"
        )
    best = np.lexsort((ids, -scores))[:k]
    similarities = np.clip(scores[best], -1, 1)
    return list(zip(ids[best].tolist(), similarities.tolist(), strict=True))
