"""Recall: what the index finds, as far as the database still holds it and it is not too old."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, select

from latent_memory.index.shelf_index import ShelfIndex
from latent_memory.retention.limits import read_limits
from latent_memory.retention.selection import in_chunks
from latent_memory.sqlite import Database
from latent_memory.tables import traces
from latent_memory.trace import Neighbour, Vector
from latent_memory.trace_rows import read_traces

_CREATED = select(traces.c.id, traces.c.created).where(
    traces.c.id.in_(bindparam("ids", expanding=True))
)


def recall(database: Database, index: ShelfIndex, query: Vector, k: int) -> list[Neighbour]:
    """Return the ``k`` traces that are most similar to a query, best first.

    Raises:
        TraceError: If the query is not as long as the shelf's embeddings.
        DamageError: If a trace is not as it was stored.
    """
    asked = k
    while True:
        nearest = index.search(query, asked)
        with database.read() as connection:
            created = _created(connection, [id_ for id_, _ in nearest])
            oldest = read_limits(connection).oldest(datetime.now(UTC))
            gone = [id_ for id_, _ in nearest if id_ not in created]
            fresh = {id_: s for id_, s in nearest if id_ in created and created[id_] >= oldest}
            if not gone and (len(fresh) >= k or len(nearest) < asked):
                best = list(fresh)[:k]
                found = read_traces(connection, best)
                return [Neighbour(stored=found[id_], similarity=fresh[id_]) for id_ in best]
        if gone:
            index.drop(gone)  # forgotten in between
        else:
            asked *= 2  # some are too old, and not erased yet


def _created(connection: Connection, ids: Sequence[int]) -> dict[int, int]:
    """Read when traces were stored; those that are gone are left out."""
    found: dict[int, int] = {}
    for some in in_chunks(ids):
        found.update((id_, created) for id_, created in connection.execute(_CREATED, {"ids": some}))
    return found
