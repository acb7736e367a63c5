"""Graphs (HNSW) of the shelves that are too large to be scanned: an index each, of it alone.

A graph of all shelves would have to be searched until enough of one's own traces were met, the
longer the smaller the shelf is; so each large shelf has its own, and a small one needs none.
"""

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, func, select, text

from latent_memory.postgres.engine import GRAPH
from latent_memory.postgres.rows import centres, vectors
from latent_memory.postgres.vectors import SCANNED
from latent_memory.tables import shelves

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
_TAKE = text(f"SELECT pg_try_advisory_lock({GRAPH}, :shelf)")
_GIVE = text(f"SELECT pg_advisory_unlock({GRAPH}, :shelf)")
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

    What another process is building is left to it; what a killed one left behind is built anew.
    """
    drawn = [shelf for shelf, dimension in wanting if _draw(connection, shelf, dimension)]
    if drawn:
        connection.exec_driver_sql("ANALYZE vectors")
    return drawn


def _draw(connection: Connection, shelf: int, dimension: int) -> bool:
    if not connection.scalar(_TAKE, {"shelf": shelf}):
        return False
    name = graph_name(shelf)
    try:
        if connection.scalar(_IS_WHOLE, {"name": name}) is False:
            drop_graph(connection, name)
        connection.exec_driver_sql(
            f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON vectors "
            f"USING hnsw ((unit::halfvec({dimension})) halfvec_ip_ops) WHERE shelf = {shelf}"
        )
        return bool(connection.scalar(_IS_WHOLE, {"name": name}))
    finally:
        connection.execute(_GIVE, {"shelf": shelf})


def drop_stray_graphs(connection: Connection) -> None:
    """Drop graphs of shelves that are gone, or that have none by their own account."""
    kept = connection.scalars(select(centres.c.shelf).where(centres.c.graph)).all()
    names = {graph_name(shelf) for shelf in kept}
    for name in connection.scalars(_GRAPHS).all():
        if name not in names:
            drop_graph(connection, name)


def drop_graph(connection: Connection, name: str) -> None:
    """Drop a graph, if it is there; others search and write meanwhile."""
    connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
