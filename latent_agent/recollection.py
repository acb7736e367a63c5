"""What a call recalls before it answers, and leaves behind after it has."""

import hashlib
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latent_agent.call import Call
from latent_agent.embedding import EMBEDDING
from latent_agent.errors import BudgetSpent
from latent_agent.memories import Mode
from latent_agent.outcome import Outcome
from latent_agent.prior_in_force import PriorInForce
from latent_agent.refine import Search, Start
from latent_agent.settings import Settings
from latent_agent.warm_start import WarmStart, warm_starts
from latent_memory import MAX_NAME, LatentMemory, LatentMemoryError, Neighbour, Shelf, Trace

_LEAST_WAIT = 1.0  # seconds that a call waits for other writers, however little time it has left


class Embedder(Protocol):
    """Anything with the ``embed_query`` of LangChain's ``Embeddings``."""

    def embed_query(self, text: str) -> list[float]:
        """Return a text's embedding."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """What was found for a question: its embedding, its neighbours, where to start from.

    ``seconds`` is what looking took.
    """

    embedding: NDArray[np.float32] | None = None
    neighbours: Sequence[Neighbour] = ()
    warm_starts: Sequence[WarmStart] = ()
    prior: str | None = None
    error: str | None = None
    failure: str | None = None
    seconds: float | None = None

    @property
    def ids(self) -> list[int]:
        """The neighbours' trace ids, nearest first."""
        return [neighbour.stored.id for neighbour in self.neighbours]


class Recollection:
    """One shelf of a memory, as calls use it.

    A memory that fails costs no answer: what went wrong is told in the outcome.

    Args:
        memory: Where traces are kept.
        namespace: Whose traces these are.
        reward: Id of the reward that scores the answers.
        mode: ``read-write``, ``read`` (nothing is stored) or ``write`` (nothing is recalled).
        embedder: Embeds questions in place of the model's own hidden states.
        prior: ``auto`` for the latent prior in force, None for none, or a version.
    """

    def __init__(
        self,
        memory: LatentMemory,
        namespace: str,
        reward: str,
        mode: Mode = "read-write",
        embedder: Embedder | None = None,
        prior: str | None = "auto",
    ) -> None:
        self._memory, self._mode, self._embedder, self._prior = memory, mode, embedder, prior
        self._namespace, self._reward = namespace, shelf_reward(reward)

    @property
    def namespace(self) -> str:
        """Whose traces these are."""
        return self._namespace

    def within(self, namespace: str) -> "Recollection":
        """Return the same memory as another namespace sees it."""
        other = copy(self)
        other._namespace = namespace
        return other

    def recall(self, call: Call, settings: Settings) -> Recalled:
        """Embed the question, find its neighbours, and turn them into warm starts."""
        try:
            embedding = self._embed(call)
            if self._mode == "write":
                return Recalled(embedding=embedding)
            return self._recalled(call, embedding, settings)
        except BudgetSpent:
            return Recalled()  # the draft will run into the same limit, and tell it
        except LatentMemoryError as failure:
            return Recalled(error=str(failure), failure=type(failure).__name__)

    def _recalled(self, call: Call, embedding: NDArray[np.float32], settings: Settings) -> Recalled:
        shelf, found, prior = self._shelf(call), [], None
        began = time.monotonic()
        if settings.neighbours:
            found = self._memory.recall(embedding, shelf=shelf, k=settings.neighbours)
        if self._prior is not None:
            version = None if self._prior == "auto" else self._prior
            prior = PriorInForce.for_shelf(self._memory, shelf, version)
        seconds = round(time.monotonic() - began, 6)
        if not found and prior is None:
            return Recalled(embedding=embedding, seconds=seconds)
        call.opening()
        base = call.base()
        if prior is not None and not prior.fits(len(embedding), base.shape[-1]):
            prior = None
        # An import may have made the shelf, with latents of any width.
        found = [near for near in found if near.stored.trace.base.shape[-1] == base.shape[-1]]
        return Recalled(
            embedding=embedding,
            neighbours=found,
            warm_starts=warm_starts(embedding, base, found, prior, settings),
            prior=None if prior is None else prior.version,
            seconds=seconds,
        )

    def _shelf(self, call: Call) -> Shelf:
        recipe = EMBEDDING if self._embedder is None else embedder_name(self._embedder)
        return Shelf(
            namespace=self._namespace,
            fingerprint=call.model.fingerprint(recipe, call.chat_template_kwargs),
            reward=self._reward,
        )

    def _embed(self, call: Call) -> NDArray[np.float32]:
        if self._embedder is not None:
            return np.asarray(self._embedder.embed_query(call.question), np.float32)
        return call.embed().cpu().numpy()

    def remember(
        self, call: Call, recalled: Recalled, search: Search, outcome: Outcome, settings: Settings
    ) -> Outcome:
        """Store what the call learned; return the outcome with the trace's id.

        Tool calls leave no trace: nothing judged them, so nothing was learned.
        """
        outcome = replace(
            outcome,
            neighbours=recalled.ids,
            prior=recalled.prior,
            memory_error=recalled.error,
            memory_failure=recalled.failure,
            recall_seconds=recalled.seconds,
        )
        best, embedding = search.best, recalled.embedding
        if self._mode == "read" or best is None or embedding is None or outcome.calls:
            return outcome
        if best.trial.score.vetoed or best.trial.score.value < settings.archive:
            return outcome
        try:
            trace = self._trace(call, embedding, best, search.rounds, outcome)
            left = call.meter.seconds_left
            within = None if left is None else max(left, _LEAST_WAIT)
            return replace(outcome, trace_id=self._memory.add(trace, within=within))
        except LatentMemoryError as failure:
            return replace(
                outcome, memory_error=str(failure), memory_failure=type(failure).__name__
            )

    def _trace(
        self,
        call: Call,
        embedding: NDArray[np.float32],
        best: Start,
        rounds: int,
        outcome: Outcome,
    ) -> Trace:
        return Trace(
            shelf=self._shelf(call),
            query=call.question,
            answer=outcome.text,
            embedding=embedding,
            base=call.base()[: len(best.latents)].cpu().numpy(),
            optimised=best.latents.detach().cpu().numpy(),
            tokens=best.trial.prefix,
            score=best.trial.score.value,
            rewards=tuple(outcome.rewards),
            steps=rounds,
            stopped=outcome.stopped,
            neighbours=tuple(outcome.neighbours),
            prior=outcome.prior,
        )


def embedder_name(embedder: Embedder) -> str:
    """Return what tells an embedder's vectors from those of others, as fingerprints hold it."""
    model = getattr(embedder, "model_name", None) or getattr(embedder, "model", "")
    return f"{type(embedder).__module__}:{type(embedder).__qualname__} {model}"


def shelf_reward(text: str) -> str:
    """Return a reward's id as shelves bear it: within the memory's limit for names."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return text if len(text) <= MAX_NAME else f"{text[:100]} #{digest}"
