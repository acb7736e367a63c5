"""Made-up traces and queries to measure a memory with."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from latent_memory import Shelf, Trace
from latent_memory.trace import Matrix

SHELF = Shelf(namespace="bench", fingerprint="bench", reward="bench")

_CLUSTERS = 1000
_COMMON = 5.0  # what all embeddings share, beside what sets clusters apart
_POOL = 64  # different latents: what is in them costs the same


@dataclass(frozen=True, kw_only=True)
class Size:
    """So many traces and queries, latents (N, d) and embeddings (d,)."""

    traces: int
    dimension: int
    latents: int
    queries: int
    seed: int

    @property
    def plain(self) -> int:
        """Bytes of a trace's arrays with its latents in float16 and its embedding in float32."""
        return 2 * self.latents * self.dimension * 2 + self.dimension * 4


def make_embeddings(size: Size, *, uniform: bool) -> tuple[Matrix, Matrix]:
    """Return embeddings to store, (traces, d), and to ask for, (queries, d).

    Unless ``uniform``, they lie around cluster centres of different weight, as questions do, and
    two of one cluster have a centred cosine of about 0.5.
    """
    random = np.random.default_rng(size.seed)
    count = size.traces + size.queries
    vectors = random.standard_normal((count, size.dimension), dtype=np.float32)
    if not uniform:
        centres = random.standard_normal((_CLUSTERS, size.dimension), dtype=np.float32)
        often = 1 / (10 + np.arange(_CLUSTERS))
        vectors += centres[random.choice(_CLUSTERS, count, p=often / often.sum())]
        vectors += _COMMON * random.standard_normal(size.dimension, dtype=np.float32)
    return vectors[: size.traces], vectors[size.traces :]


def make_traces(size: Size, embeddings: Matrix) -> Iterator[Trace]:
    """Yield a trace for each embedding."""
    random = np.random.default_rng(size.seed)
    shape = (_POOL, size.latents, size.dimension)
    base = random.standard_normal(shape, dtype=np.float32)
    moved = base + 0.1 * random.standard_normal(shape, dtype=np.float32)
    for number, embedding in enumerate(embeddings):
        yield Trace(
            shelf=SHELF,
            query=f"What is {number} times {number}?",
            answer=f"{number} times {number} = {number * number}.",
            embedding=embedding,
            base=base[number % _POOL],
            optimised=moved[number % _POOL],
            tokens=tuple(range(size.latents)),
            score=-0.1,
            rewards=((-1.0,), (-0.5,), (-0.1,)),
            steps=2,
            stopped="threshold",
        )
