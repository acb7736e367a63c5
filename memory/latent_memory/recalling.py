"""Recall: what the index finds, as far as the database still holds it and it is not too old."""

from datetime import UTC, datetime

from latent_memory.limits import read_limits
from latent_memory.rows import read_times, read_traces
from latent_memory.shelves import ShelfIndex
from latent_memory.sqlite import Database
from latent_memory.trace import Neighbour, Vector


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
            created = read_times(connection, [id_ for id_, _ in nearest])
            oldest = read_limits(connection).oldest(datetime.now(UTC))
            fresh = [near for near in nearest if created.get(near[0], oldest - 1) >= oldest][:k]
            gone = [id_ for id_, _ in nearest if id_ not in created]
            if not gone and (len(fresh) == k or len(nearest) < asked):
                found = read_traces(connection, [id_ for id_, _ in fresh])
                return [Neighbour(stored=found[id_], similarity=near) for id_, near in fresh]
        if gone:
            index.drop(gone)  # forgotten in between
        else:
            asked *= 2  # some are too old, and not erased yet
