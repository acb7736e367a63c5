"""What an index learns from the vectors it is built from: their mean, and lists to sort them into.

The numeric core of the index: free functions over arrays.
"""

import math
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import faiss
import numpy as np

from latent_memory.trace import Matrix, Vector

_ROUNDING = 1e-6  # what lies nearer to the mean than this, for its length, is the mean


@contextmanager
def one_thread() -> Generator[None]:
    """Keep FAISS, and the OpenMP that it brings, to the calling thread.

    On a machine busy with a language model, one add took 150 ms with two threads and 0.04 ms with
    one; and a forked process would wait for its parent's threads forever. OpenMP keeps the number
    for each thread, so that of no other thread is changed.
    """
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


@dataclass(frozen=True, kw_only=True)
class IndexSettings:
    """When and how an index trades exactness for speed; the defaults are measured.

    Attributes:
        centre_from: Fewest vectors whose mean is worth centring by.
        flat_until: Most vectors that are all compared with the query, which is exact. More of
            them are sorted into lists by k-means, and only the nearest lists are searched.
        lists: Lists for each square root of the number of vectors.
        sample: Vectors that k-means sees for each list, at most.
        rounds: Rounds of k-means.
        members: A list for which the sample holds fewer is given up, so that no centroid, which
            a snapshot writes to disk, stands for a single trace.
        probes: Lists that a search looks into, at least.
        compared: Vectors that a search compares, about, at least, less two for each list: short
            lists are cheap, so more of them are looked into; many lists are fine ones, so fewer
            of them hold what is sought.
        seed: Seed of k-means and its sample.
    """

    centre_from: int = 16
    flat_until: int = 8000
    lists: float = 4.0
    sample: int = 48
    rounds: int = 5
    members: int = 8
    probes: int = 12
    compared: int = 3500
    seed: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """What an index learned from the vectors it was built from, and none of these vectors.

    Attributes:
        settings: The settings it was built with.
        built: How many vectors it was built from.
        mean: Their mean, (e,); 0 if they were too few.
        centroids: One row of length 1 for each list, (lists, e); one row of 0 if flat.
    """

    settings: IndexSettings
    built: int
    mean: Vector
    centroids: Matrix

    @property
    def flat(self) -> bool:
        """Whether every vector is compared with the query."""
        return self.built <= self.settings.flat_until


def learn_layout(vectors: Matrix, settings: IndexSettings) -> Layout:
    """Return the layout for ``vectors``, (n, e), raw and finite."""
    count, dimension = vectors.shape
    mean = np.zeros(dimension, dtype=np.float32)
    if count >= settings.centre_from:
        mean = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    centroids = np.zeros((1, dimension), dtype=np.float32)
    if count > settings.flat_until:
        centroids = _centroids(vectors, mean, settings)
    return Layout(settings=settings, built=count, mean=mean, centroids=centroids)


def unit_rows(vectors: Matrix, mean: Vector) -> Matrix:
    """Return the rows less the mean, each of length 1, or 0 where only rounding is left; (n, e)."""
    rows = vectors - mean
    lengths = row_lengths(rows)
    apart = lengths > _ROUNDING * row_lengths(vectors)
    rows *= np.divide(1, lengths, out=np.zeros_like(lengths), where=apart)[:, None]
    return rows


def row_lengths(rows: Matrix) -> Vector:
    """Return the length of each row, (n,); not finite if a number is not, or above 1e19."""
    return np.sqrt(np.einsum("ij,ij->i", rows, rows))


def _centroids(vectors: Matrix, mean: Vector, settings: IndexSettings) -> Matrix:
    """Return the centroids of spherical k-means over a sample, (lists, e)."""
    count, dimension = vectors.shape
    lists = max(min(round(settings.lists * math.sqrt(count)), count // settings.members), 1)
    chosen = np.random.default_rng(settings.seed).choice(
        count, min(count, lists * settings.sample), replace=False
    )
    rows = unit_rows(vectors[np.sort(chosen)], mean)
    kmeans = faiss.Kmeans(
        dimension,
        lists,
        niter=settings.rounds,
        seed=settings.seed,
        spherical=True,
        min_points_per_centroid=1,  # these two only keep FAISS from warning and sampling again
        max_points_per_centroid=len(rows),
    )
    with one_thread():
        kmeans.train(rows)
        nearest = kmeans.index.search(rows, 1)[1][:, 0]
    assert kmeans.centroids is not None
    kept = np.bincount(nearest, minlength=lists) >= settings.members
    kept[np.argmax(kept)] = True  # one list at least
    return np.ascontiguousarray(kmeans.centroids[kept])
