"""Graphs (HNSW) of the shelves that are too large to be scanned: an index each, of it alone.

A graph of all shelves would have to be searched until enough of one's own traces were met, the
longer the smaller the shelf is; so each large shelf has its own, and a small one needs none.
"""

import logging
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, func, select, text

from latent_memory.postgres.rows import centres, vectors
from latent_memory.postgres.vectors import SCANNED
from latent_memory.tables import shelves

logger = logging.getLogger(__name__)

_COUNT = select(func.count()).select_from(vectors).where(vectors.c.shelf == bindparam("of"))
_WITHOUT = (
    select(centres.c.shelf, shelves.c.dimension)
    .join(shelves, shelves.c.id == centres.c.shelf)
    .where(centres.c.shelf.in_(bindparam("shelves", expanding=True)), ~centres.c.graph)
)
_GRAPHS = text(
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = to_regclass('vectors') AND c.relname LIKE 'graph\\_%'"
)
_IS_WHOLE = text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)")


def graph_name(shelf: int) -> str:
    """Return the name of a shelf's graph."""
    return f"graph_{shelf}"


def shelves_without_graph(
    connection: Connection, asked: Iterable[int]
) -> Sequence[tuple[int, int]]:
    """Return which shelves want a graph and have none, with the length of their embeddings."""
    found = connection.execute(_WITHOUT, {"shelves": sorted(asked)}).all()
    return [
        (row.shelf, row.dimension)
        for row in found
        if (connection.scalar(_COUNT, {"of": row.shelf}) or 0) >= SCANNED
    ]


def draw_graphs(connection: Connection, wanting: Iterable[tuple[int, int]]) -> list[int]:
    """Build graphs outside of any transaction, while others write; return those that are whole.

    Of two processes that build one the second finds it there, and leaves it to the first to note.
    """
    connection.exec_driver_sql("SET maintenance_work_mem = '256MB'")
    drawn: list[int] = []
    for shelf, dimension in wanting:
        name = graph_name(shelf)
        connection.exec_driver_sql(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON vectors "
            f"USING hnsw ((unit::halfvec({dimension})) halfvec_ip_ops) WHERE shelf = {shelf}"
        )
        if connection.scalar(_IS_WHOLE, {"name": name}):
            drawn.append(shelf)
        else:
            logger.warning("%s is not whole yet: its shelf is scanned meanwhile", name)
    connection.exec_driver_sql("RESET maintenance_work_mem")
    connection.exec_driver_sql("ANALYZE vectors")
    return drawn


def drop_stray_graphs(connection: Connection) -> None:
    """Drop graphs of shelves that are gone, or that have none by their own account."""
    kept = connection.scalars(select(centres.c.shelf).where(centres.c.graph)).all()
    names = {graph_name(shelf) for shelf in kept}
    for name in connection.scalars(_GRAPHS).all():
        if name not in names:
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
