"""Recall: the nearest traces that the database still holds and that are not too old."""

from datetime import UTC, datetime

from sqlalchemy import bindparam, select

from latent_memory.database import Database, Nearest
from latent_memory.retention.limits import read_limits
from latent_memory.retention.selection import in_chunks
from latent_memory.tables import traces
from latent_memory.trace import Neighbour, Vector
from latent_memory.trace_rows import read_traces

_CREATED = select(traces.c.id, traces.c.created).where(
    traces.c.id.in_(bindparam("ids", expanding=True))
)


def recall(database: Database, index: Nearest, query: Vector, k: int) -> list[Neighbour]:
    """Return the ``k`` traces that are most similar to a query, best first.

    Raises:
        TraceError: If the query is not as long as the shelf's embeddings.
        DamageError: If a trace is not as it was stored.
    """
    asked = k
    while True:
        nearest = index.search(query, asked)
        with database.read() as connection:
            created = {
                row.id: row.created
                for some in in_chunks([id_ for id_, _ in nearest])
                for row in connection.execute(_CREATED, {"ids": some})
            }
            oldest = read_limits(connection).oldest(datetime.now(UTC))
            gone = [id_ for id_, _ in nearest if id_ not in created]
            fresh = {id_: s for id_, s in nearest if id_ in created and created[id_] >= oldest}
            if not gone and (len(fresh) >= k or len(nearest) < asked):
                best = list(fresh)[:k]
                stored = read_traces(connection, best)
                return [Neighbour(stored=stored[id_], similarity=fresh[id_]) for id_ in best]
        if gone:
            index.drop(gone)  # forgotten meanwhile
        else:
            asked *= 2  # some are too old, and not erased yet
