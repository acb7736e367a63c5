"""Graphs (HNSW) of the shelves that are too large to be scanned: an index each, of it alone.

A graph of all shelves would have to be searched until enough of one's own traces were met, the
longer the smaller the shelf is; so each large shelf has its own, and a small one needs none.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager

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
_HAS_GRAPH = select(centres.c.graph).where(centres.c.shelf == bindparam("of"))
# The memory's own schema is named wherever tables are not: another's may be on the search path.
_HERE = text("SELECT quote_ident(current_schema())")
_GRAPHS = text(
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE i.indrelid = to_regclass(quote_ident(current_schema()) || '.vectors') "
    "AND c.relname ~ '^graph_[0-9]+$'"
)
_KEY = f"{GRAPH}, hashtext(current_schema() || ' ' || :shelf)"
_TAKE = text(f"SELECT pg_advisory_lock({_KEY})")
_TRY = text(f"SELECT pg_try_advisory_lock({_KEY})")
_GIVE = text(f"SELECT pg_advisory_unlock({_KEY})")
_IS_WHOLE = text(
    "SELECT indisvalid FROM pg_index "
    "WHERE indexrelid = to_regclass(quote_ident(current_schema()) || '.' || :name)"
)


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


@contextmanager
def graph_lock(connection: Connection, shelf: int, *, wait: bool = False) -> Generator[bool]:
    """Hold the lock of a shelf's graph, outside of any transaction; yield whether it is held.

    Whoever holds it alone builds or drops the graph, and notes so.
    """
    if not wait and not connection.scalar(_TRY, {"shelf": str(shelf)}):
        yield False
        return
    if wait:
        connection.execute(_TAKE, {"shelf": str(shelf)})
    try:
        yield True
    finally:
        if not connection.invalidated:  # else the lock fell with its session
            connection.execute(_GIVE, {"shelf": str(shelf)})


def draw_graph(connection: Connection, shelf: int, dimension: int) -> bool:
    """Build a shelf's graph outside of any transaction, while others write; say if it is whole.

    What a killed process left behind is built anew.
    """
    name = graph_name(shelf)
    if connection.scalar(_IS_WHOLE, {"name": name}) is False:
        drop_graph(connection, name)
    connection.exec_driver_sql(
        f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON vectors "
        f"USING hnsw ((unit::halfvec({dimension})) halfvec_ip_ops) WHERE shelf = {shelf}"
    )
    return bool(connection.scalar(_IS_WHOLE, {"name": name}))


def drop_stray_graphs(connection: Connection) -> None:
    """Drop graphs of shelves that are gone, or that have none by their own account.

    What is being built is left alone.
    """
    for name in connection.scalars(_GRAPHS).all():
        shelf = int(name.removeprefix("graph_"))
        with graph_lock(connection, shelf) as mine:
            if mine and not connection.scalar(_HAS_GRAPH, {"of": shelf}):
                drop_graph(connection, name)


def drop_graph(connection: Connection, name: str) -> None:
    """Drop a graph, if it is there; others search and write meanwhile."""
    schema = connection.scalar(_HERE)
    connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {schema}.{name}")
