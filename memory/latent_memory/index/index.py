"""The index for recall: which embeddings of one shelf lie nearest to a query.

It is a cache over the database: it knows arrays and ids, and no SQL. Similarity is the cosine of
centred embeddings (LatentEvolve, equation 3): raw states of a language model share a large mean,
so that their plain cosines are all close to 1.
"""

import heapq
import math
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

from latent_memory.errors import TraceError
from latent_memory.index.ivf_layout import (
    IndexSettings,
    Layout,
    learn_layout,
    one_thread,
    row_lengths,
    unit_rows,
)
from latent_memory.trace import Matrix, Vector

Ids = NDArray[np.int64]

_BLOCK = 4096  # rows that are centred at a time, so that no second copy of all is made


class VectorIndex:
    """Vectors under ids, searched by centred cosine.

    Exact while small; later inverted lists (IVF), which unlike a graph (HNSW) can remove an id
    for good and are quick to build. Not thread-safe: the caller locks.
    """

    def __init__(self, layout: Layout) -> None:
        lists, self.dimension = layout.centroids.shape
        self.layout = layout
        self._list_of: dict[int, int] = {}
        self._quantizer = faiss.IndexFlatIP(self.dimension)
        self._quantizer.add(layout.centroids)
        # With a single list this is a flat index, and one that knows ids.
        self._faiss = faiss.IndexIVFFlat(
            self._quantizer, self.dimension, lists, faiss.METRIC_INNER_PRODUCT
        )

    @classmethod
    def build(cls, ids: Ids, vectors: Matrix, *, settings: IndexSettings | None = None) -> Self:
        """Build an index of ``vectors``, (n, e) and raw, under ``ids``, (n,) and distinct.

        Raises:
            TraceError: If a number is not finite.
        """
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        _require_finite(vectors)
        index = cls(learn_layout(vectors, settings or IndexSettings()))
        index.add(ids, vectors)
        return index

    def __len__(self) -> int:
        return len(self._list_of)

    @property
    def outgrown(self) -> bool:
        """Whether it should be rebuilt: the mean or the lists are out of date."""
        layout, live = self.layout, len(self)
        if layout.flat and live > layout.settings.flat_until:
            return True
        if layout.built < layout.settings.centre_from:
            return live >= layout.settings.centre_from
        return live >= 2 * layout.built or 2 * live < layout.built

    def add(self, ids: Ids, vectors: Matrix, *, lists: Ids | None = None) -> None:
        """Add raw ``vectors``, (n, e), under ``ids``, (n,) and distinct; known ids are replaced.

        Args:
            ids: One id of at least 0 for each vector.
            vectors: The embeddings as they are.
            lists: The list that each belongs to, where that is known, (n,).

        Raises:
            TraceError: If the dimension is another, or a number is not finite; nothing was added.
        """
        ids = np.ascontiguousarray(ids, dtype=np.int64)
        vectors = self._fitting(vectors)
        assert len(set(ids.tolist())) == len(ids) == len(vectors)
        assert (ids >= 0).all()
        self.remove(ids)
        for start in range(0, len(ids), _BLOCK):
            block = slice(start, start + _BLOCK)
            rows = unit_rows(vectors[block], self.layout.mean)
            with one_thread():
                self._add_rows(ids[block], rows, None if lists is None else lists[block])

    def remove(self, ids: Ids) -> None:
        """Remove the vectors under ``ids``; unknown ids are ignored."""
        known = [
            one
            for one in np.asarray(ids, dtype=np.int64).tolist()
            if self._list_of.pop(one, None) is not None
        ]
        if not known:
            return
        with one_thread():
            self._faiss.remove_ids(faiss.IDSelectorBatch(np.array(known, dtype=np.int64)))

    def search(self, vector: Vector, k: int) -> list[tuple[int, float]]:
        """Return the ``k`` nearest, or all if there are fewer, best first, ties by lower id.

        Args:
            vector: The query's embedding, raw, (e,).
            k: How many.

        Returns:
            Pairs of an id and its centred cosine, in [-1, 1]. What equals the mean has no
            direction: its similarity is 0 to everything.

        Raises:
            TraceError: If the dimension is another, or a number is not finite.
        """
        query = unit_rows(self._fitting(np.asarray(vector)[None]), self.layout.mean)
        wanted = min(k, len(self))
        if wanted < 1:
            return []
        if not query.any():
            return [(one, 0.0) for one in heapq.nsmallest(wanted, self._list_of)]
        with one_thread():
            ids, scores = self._nearest(query, wanted)
        best = np.lexsort((ids, -scores))[:wanted]
        similarities = np.clip(scores[best], -1, 1)
        return list(zip(ids[best].tolist(), similarities.tolist(), strict=True))

    def assignment(self) -> tuple[Ids, Ids]:
        """Return all ids, ascending, and the number of each one's list, both (n,)."""
        pairs = sorted(self._list_of.items())
        table = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def _nearest(self, query: Matrix, wanted: int) -> tuple[Ids, Vector]:
        """Return at least the ``wanted`` best ids and their scores, with all that tie for last."""
        settings, probes = faiss.SearchParametersIVF(), self._probes()
        while True:
            settings.nprobe = probes
            scores, ids = self._faiss.search(query, wanted + 1, params=settings)
            if ids[0, wanted - 1] >= 0 or probes == self._faiss.nlist:
                break
            probes = min(2 * probes, self._faiss.nlist)
        ids, scores = ids[0], scores[0]
        if ids[wanted] < 0 or scores[wanted] < scores[wanted - 1]:
            return ids[:wanted], scores[:wanted]
        below = np.nextafter(scores[wanted], np.float32(-np.inf))
        _, scores, ids = self._faiss.range_search(query, float(below), params=settings)
        return ids, scores

    def _probes(self) -> int:
        settings, lists = self.layout.settings, self._faiss.nlist
        affordable = math.ceil((settings.compared - 2 * lists) * lists / len(self))
        return min(max(settings.probes, affordable), lists)

    def _add_rows(self, ids: Ids, rows: Matrix, lists: Ids | None) -> None:
        if lists is None:
            lists = self._quantizer.assign(rows, 1)[:, 0]
        lists = np.ascontiguousarray(lists, dtype=np.int64)
        pointers = (faiss.swig_ptr(array) for array in (rows, ids, lists))
        self._faiss.add_core(len(ids), *pointers)
        self._list_of.update(zip(ids.tolist(), lists.tolist(), strict=True))

    def _fitting(self, vectors: Matrix) -> Matrix:
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        if vectors.ndim != 2 or vectors.shape[1] != self.dimension:
            raise TraceError(
                f"embeddings that are compared must have one length, here {self.dimension} "
                f"numbers, got {math.prod(vectors.shape[1:])!r}; embed queries as the stored "
                "traces were embedded, or use another namespace"
            )
        _require_finite(vectors)
        return vectors


def _require_finite(vectors: Matrix) -> None:
    lengths = row_lengths(vectors)
    if not np.isfinite(lengths).all():
        row = vectors[int(np.argmin(np.isfinite(lengths)))]
        worst = row[int(np.argmax(np.where(np.isnan(row), np.inf, np.abs(row))))]
        raise TraceError(
            f"an embedding must hold finite numbers, its length below 1e19, got {float(worst)!r} "
            "in one; check the model or the embeddings that made it"
        )
