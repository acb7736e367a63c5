"""Rated traces: what people said comes before what the call's own reward said."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from latent_memory import FEEDBACK, UNRATED, LatentMemory, Neighbour, Shelf, StoredTrace
from latent_memory.trace import Vector

WRONG = -0.5
"""A trace rated so, or lower, is no start."""

_MORE = 4  # times as many are looked at first, since some may be no start
_AT_ONCE = 100


def rated_shelf(shelf: Shelf) -> Shelf:
    """Return where a shelf's traces lie once they are rated."""
    return replace(shelf, reward=FEEDBACK)


def recalled_with_ratings(
    memory: LatentMemory, embedding: Vector, shelf: Shelf, k: int
) -> list[Neighbour]:
    """Return the ``k`` nearest traces: those rated right first, then the shelf's unrated ones.

    Raises:
        TraceError: If the embedding is not as long as the shelf's.
        DamageError: If a trace is not as it was stored.
    """
    best = rated_right(memory, embedding, shelf, k)
    if shelf.reward in (FEEDBACK, UNRATED) or len(best) == k:
        return best
    return best + not_rated(memory, embedding, shelf, k - len(best))


def rated_right(memory: LatentMemory, embedding: Vector, shelf: Shelf, k: int) -> list[Neighbour]:
    """Return the ``k`` nearest traces that were rated right, of a shelf's namespace and model."""

    def right(found: Sequence[Neighbour]) -> list[Neighbour]:
        return [one for one in found if one.stored.trace.score > WRONG]

    return _nearest(memory, embedding, rated_shelf(shelf), k, right)


def not_rated(memory: LatentMemory, embedding: Vector, shelf: Shelf, k: int) -> list[Neighbour]:
    """Return the ``k`` nearest traces of a shelf that nobody rated."""

    def unrated(found: Sequence[Neighbour]) -> list[Neighbour]:
        known = memory.ratings([one.stored.id for one in found]) if found else {}
        return [one for one in found if one.stored.id not in known]

    return _nearest(memory, embedding, shelf, k, unrated)


def _nearest(
    memory: LatentMemory,
    embedding: Vector,
    shelf: Shelf,
    k: int,
    starts: Callable[[Sequence[Neighbour]], list[Neighbour]],
) -> list[Neighbour]:
    """Return the ``k`` nearest traces that are starts, however many nearer ones are none."""
    looked_at = k
    while True:
        found = memory.recall(embedding, shelf=shelf, k=looked_at)
        best = starts(found)[:k]
        if len(best) == k or len(found) < looked_at:
            return best
        looked_at *= _MORE


def not_rated_wrong(memory: LatentMemory, traces: Iterable[StoredTrace]) -> Iterator[StoredTrace]:
    """Yield traces without those that were rated wrong, or corrected: none is to be learned."""
    left = iter(traces)
    while some := list(islice(left, _AT_ONCE)):
        known = memory.ratings([stored.id for stored in some])
        yield from (one for one in some if one.id not in known or known[one.id].reward > WRONG)
