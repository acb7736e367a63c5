"""What recall searches: embeddings less their shelf's centre, of length 1, kept up by the writers.

LatentEvolve's similarity (equation 3) is the cosine of centred embeddings. The centre is learned
anew as a shelf grows, until more traces would hardly move it.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pgvector import HalfVector
from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as upsert

from latent_memory.errors import DamageError
from latent_memory.index.ivf_layout import IndexSettings, unit_rows
from latent_memory.postgres.rows import centres, vectors
from latent_memory.tables import embeddings, shelves, traces
from latent_memory.trace import Matrix, Vector

WIDEST = 4000  # numbers that a graph of ``halfvec`` holds; wider embeddings are searched by FAISS
SCANNED = 5000  # vectors of a shelf that are all compared with a query; more get a graph

FROM = IndexSettings().centre_from  # fewest vectors whose mean is worth centring by
_SETTLED = 4096  # traces whose mean is the centre for good: it is off by 1/64 of their spread
_GROWTH = 4  # a quarter more traces, and the centre is learnt anew: five writes for each vector
_AT_ONCE = 1000

# What is damaged has no vector: it is for ``verify`` to find, and must keep nobody from writing.
_WHOLE = func.length(embeddings.c.vector) == 4 * shelves.c.dimension
_NEW = (
    select(traces.c.id, traces.c.shelf, embeddings.c.vector)
    .join(shelves, shelves.c.id == traces.c.shelf)
    .join(embeddings, embeddings.c.trace == traces.c.id)
    .outerjoin(vectors, vectors.c.trace == traces.c.id)
    .where(
        traces.c.id > bindparam("seen"),
        vectors.c.trace.is_(None),
        shelves.c.dimension <= WIDEST,
        _WHOLE,
    )
    .order_by(traces.c.id)
    .limit(_AT_ONCE)
)
_LAST = select(func.max(vectors.c.trace))
_NEWEST = select(func.coalesce(func.max(traces.c.id), 0))
_CENTRE = select(centres).where(centres.c.shelf == bindparam("of"))
_ALL = (
    select(traces.c.id, embeddings.c.vector)
    .join(shelves, shelves.c.id == traces.c.shelf)
    .join(embeddings, embeddings.c.trace == traces.c.id)
    .where(traces.c.shelf == bindparam("of"), traces.c.id > bindparam("after"), _WHOLE)
    .order_by(traces.c.id)
    .limit(_AT_ONCE)
)
_ROW = upsert(centres)
_PUT = _ROW.on_conflict_do_update(
    index_elements=["shelf"],
    set_={name: _ROW.excluded[name] for name in ("built", "added", "mean")},
)


class Vectors:
    """Keeps the vectors up with the traces, inside the transactions that write these."""

    def __init__(self) -> None:
        # Up to here all committed traces have their vectors; None: up to the newest that has one.
        self._seen: int | None = None
        self._newest: int | None = None  # likewise, once the transaction under way is committed
        self.grown: set[int] = set()  # shelves that may want a graph
        self._ask_at: dict[int, int] = {}  # how many vectors a shelf has when that is asked again

    def catch_up(self, connection: Connection) -> None:
        """Write the vectors of traces that have none; call `committed` once they are durable.

        Ids grow in the order of commits: no trace below the newest one comes any more. What has no
        vector below one that has is damaged, and stays so until a rebuild.
        """
        seen = connection.scalar(_LAST) or 0 if self._seen is None else self._seen
        while True:
            rows = connection.execute(_NEW, {"seen": seen}).all()
            by_shelf: dict[int, list[Any]] = {}
            for row in rows:
                by_shelf.setdefault(row.shelf, []).append(row)
            for shelf, added in by_shelf.items():
                self._add(connection, shelf, added)
            if len(rows) < _AT_ONCE:
                break
            seen = rows[-1].id
        self._newest = rows[-1].id if rows else connection.scalar(_NEWEST) or 0

    def committed(self) -> None:
        """Note that all traces up to the newest have their vectors."""
        self._seen = self._newest

    def look_anew(self, *_: object) -> None:
        """Take nothing as seen: a connection was lost, and its server maybe with it.

        One that crashed, or whose replica took its place, gives ids again that it had not kept.
        """
        self._seen = self._newest = None

    def _add(self, connection: Connection, shelf: int, rows: Sequence[Any]) -> None:
        centre = connection.execute(_CENTRE, {"of": shelf}).one_or_none()
        built, added = (0, 0) if centre is None else (centre.built, centre.added)
        added += len(rows)
        settled = built >= _SETTLED or (centre is not None and centre.graph)  # slow to change
        if built + added >= FROM and _GROWTH * added >= built and not settled:
            self.recentre(connection, shelf)
            return
        mean = as_vector(centre.mean) if centre is not None else zeros(rows[0].vector)
        _insert(connection, shelf, rows, mean)
        _put_centre(connection, shelf, built, added, mean)
        if centre is not None and not centre.graph:
            self._note_growth(shelf, built + added)

    def recentre(self, connection: Connection, shelf: int) -> None:
        """Learn a shelf's centre from all its traces, and write all its vectors anew."""
        total, count = np.zeros(1), 0
        for rows in filter(None, _blocks(connection, shelf)):
            total = total + stacked(rows).sum(axis=0, dtype=np.float64)
            count += len(rows)
        connection.execute(delete(vectors).where(vectors.c.shelf == shelf))
        if not count:
            return
        few = count < FROM
        mean = np.zeros_like(total) if few else total / count
        mean = mean.astype(np.float32)
        for rows in filter(None, _blocks(connection, shelf)):
            _insert(connection, shelf, rows, mean)
        _put_centre(connection, shelf, 0 if few else count, count if few else 0, mean)
        self._note_growth(shelf, count)

    def _note_growth(self, shelf: int, count: int) -> None:
        if count >= self._ask_at.get(shelf, SCANNED):
            self.grown.add(shelf)
            self._ask_at[shelf] = count + count // 10

    def take_grown(self) -> set[int]:
        """Return the shelves that may want a graph; they are asked about once."""
        grown, self.grown = self.grown, set()
        return grown

    def note_graphs(self, connection: Connection, changed: Collection[int], *, there: bool) -> None:
        """Note whether shelves have a graph."""
        chosen = update(centres).where(centres.c.shelf.in_(list(changed)))
        connection.execute(chosen.values(graph=there))
        for shelf in changed:
            self._ask_at.pop(shelf, None)


def stacked(rows: Sequence[Any]) -> Matrix:
    """Return the embeddings of rows as one matrix, (n, e).

    Raises:
        DamageError: If one is not as long as the others.
    """
    lengths = {len(row.vector) for row in rows}
    if len(lengths) > 1:
        raise DamageError(
            f"embeddings of one shelf must have one length, got {sorted(lengths)!r} bytes; run: "
            "latent-agent memory verify"
        )
    return np.frombuffer(b"".join(row.vector for row in rows), "<f4").reshape(len(rows), -1)


def as_vector(content: bytes) -> Vector:
    """Return the numbers that a row holds, (e,)."""
    return np.frombuffer(content, "<f4")


def zeros(content: bytes) -> Vector:
    """Return the centre of few embeddings as long as this one."""
    return np.zeros(len(content) // 4, dtype=np.float32)


def _blocks(connection: Connection, shelf: int) -> Iterable[Sequence[Any]]:
    after = 0
    while rows := connection.execute(_ALL, {"of": shelf, "after": after}).all():
        found = zip(rows, stacked(rows), strict=True)
        yield [row for row, embedding in found if np.isfinite(embedding).all()]
        after = rows[-1].id


def _insert(connection: Connection, shelf: int, rows: Sequence[Any], mean: Vector) -> None:
    units = unit_rows(stacked(rows), mean)
    made: list[Mapping[str, Any]] = [
        {"trace": row.id, "shelf": shelf, "unit": HalfVector(unit)}
        for row, unit in zip(rows, units, strict=True)
        if np.isfinite(unit).all()
    ]
    if made:
        connection.execute(insert(vectors), made)


def _put_centre(connection: Connection, shelf: int, built: int, added: int, mean: Vector) -> None:
    row = {"shelf": shelf, "built": built, "added": added, "graph": False}
    connection.execute(_PUT, {**row, "mean": mean.astype("<f4").tobytes()})
