"""What the memory holds: traces, and what recall returns. Pure values that know no storage."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]
Matrix = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]  # by name


@dataclass(frozen=True, kw_only=True, slots=True)
class Shelf:
    """What may be recalled together: one user's traces, of one model, scored by one reward.

    Attributes:
        namespace: Whose traces these are.
        fingerprint: Which model, tokenizer, template and embedding recipe made them.
        reward: Id of the reward that scored them.
    """

    namespace: str
    fingerprint: str
    reward: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Trace:
    """What one call learned.

    Attributes:
        shelf: Namespace, fingerprint and reward.
        query: The question; None if texts are not stored.
        answer: The answer; None if texts are not stored.
        embedding: The question's embedding, raw, (e,) float32.
        base: Latents before anything moved them, (N, d) float32 (LatentEvolve, equation 4).
        optimised: Latents of the best-scoring answer, (N, d) float32.
        tokens: The winning tokens, which ``optimised`` decodes to; at most N.
        score: Reward of the answer, in [-1, 0].
        rewards: The reward of each answer, a tuple for each round: starts, the draft among them,
            then the search's.
        steps: How many of the rounds are the search's.
        stopped: Why the search ended.
        neighbours: Ids of the traces whose journeys gave the answer; none if the draft or a search
            did, whatever was recalled.
        prior: Version of the latent prior that gave the answer, alone or with neighbours.
        conversation: All that was asked, as text of the caller's making, at most
            `MAX_CONVERSATION` characters; None: the query alone; empty: it was too long to keep.
        settings: How the call searched, as text of the caller's making; None: not known.
    """

    shelf: Shelf
    query: str | None
    answer: str | None
    embedding: Vector
    base: Matrix
    optimised: Matrix
    tokens: tuple[int, ...]
    score: float
    rewards: tuple[tuple[float, ...], ...]
    steps: int
    stopped: str
    neighbours: tuple[int, ...] = ()
    prior: str | None = None
    conversation: str | None = None
    settings: str | None = None


def by_round(rewards: Sequence[Any]) -> tuple[tuple[float, ...], ...]:
    """Return rewards by round; older traces hold one number a round, the mean of its answers."""
    return tuple(tuple(one) if isinstance(one, list | tuple) else (one,) for one in rewards)


def without_texts(trace: Trace) -> Trace:
    """Return a trace without what was asked and answered."""
    return replace(trace, query=None, answer=None, conversation=None)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StoredTrace:
    """A trace with the id and the time (UTC) that it got when it was stored."""

    id: int
    created: datetime
    trace: Trace


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Neighbour:
    """A recalled trace and its similarity to the query: the cosine of centred embeddings."""

    stored: StoredTrace
    similarity: float
