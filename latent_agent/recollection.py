"""What a call recalls before it answers, and leaves behind after it has."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latent_agent.call import Call
from latent_agent.embedding import EMBEDDING
from latent_agent.errors import BudgetSpent
from latent_agent.memories import Mode
from latent_agent.outcome import Outcome
from latent_agent.refine import Search, Start
from latent_agent.settings import Settings
from latent_agent.warm_start import WarmStart, momentum_transfer
from latent_memory import MAX_NAME, LatentMemory, LatentMemoryError, Neighbour, Shelf, Trace


class Embedder(Protocol):
    """Anything with the ``embed_query`` of LangChain's ``Embeddings``."""

    def embed_query(self, text: str) -> list[float]:
        """Return a text's embedding."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """What was found for a question: its embedding, its neighbours, where to start from."""

    embedding: NDArray[np.float32] | None = None
    neighbours: Sequence[Neighbour] = ()
    warm_starts: Sequence[WarmStart] = ()
    error: str | None = None


class Recollection:
    """One shelf of a memory, as calls use it.

    A memory that fails costs no answer: what went wrong is told in the outcome.

    Args:
        memory: Where traces are kept.
        namespace: Whose traces these are.
        reward: Id of the reward that scores the answers.
        mode: ``read-write``, ``read`` (nothing is stored) or ``write`` (nothing is recalled).
        embedder: Embeds questions in place of the model's own hidden states.
    """

    def __init__(
        self,
        memory: LatentMemory,
        namespace: str,
        reward: str,
        mode: Mode = "read-write",
        embedder: Embedder | None = None,
    ) -> None:
        self._memory, self._mode, self._embedder = memory, mode, embedder
        self._namespace, self._reward = namespace, _short(reward)

    def recall(self, call: Call, settings: Settings) -> Recalled:
        """Embed the question, find its neighbours, and turn them into a warm start."""
        try:
            embedding = self._embed(call)
            if self._mode == "write" or settings.neighbours == 0:
                return Recalled(embedding=embedding)
            found = self._memory.recall(embedding, shelf=self._shelf(call), k=settings.neighbours)
            return Recalled(
                embedding=embedding,
                neighbours=found,
                warm_starts=[warm_start(call, found, settings)] if found else [],
            )
        except BudgetSpent:
            return Recalled()  # the draft will run into the same limit, and tell it
        except LatentMemoryError as failure:
            return Recalled(error=str(failure))

    def _shelf(self, call: Call) -> Shelf:
        recipe = EMBEDDING if self._embedder is None else _name(self._embedder)
        return Shelf(
            namespace=self._namespace,
            fingerprint=call.model.fingerprint(recipe),
            reward=self._reward,
        )

    def _embed(self, call: Call) -> NDArray[np.float32]:
        if self._embedder is not None:
            return np.asarray(self._embedder.embed_query(call.question), np.float32)
        return call.embed().cpu().numpy()

    def remember(
        self, call: Call, recalled: Recalled, search: Search, outcome: Outcome, settings: Settings
    ) -> Outcome:
        """Store what the call learned; return the outcome with the trace's id."""
        neighbours = tuple(neighbour.stored.id for neighbour in recalled.neighbours)
        outcome = replace(outcome, neighbours=neighbours, memory_error=recalled.error)
        best, embedding = search.best, recalled.embedding
        if self._mode == "read" or best is None or embedding is None:
            return outcome
        if best.trial.score.vetoed or best.trial.score.value < settings.archive:
            return outcome
        try:
            trace = self._trace(call, embedding, best, outcome)
            return replace(outcome, trace_id=self._memory.add(trace))
        except LatentMemoryError as failure:
            return replace(outcome, memory_error=str(failure))

    def _trace(
        self, call: Call, embedding: NDArray[np.float32], best: Start, outcome: Outcome
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
            steps=outcome.iterations,
            stopped=outcome.stopped,
            neighbours=tuple(outcome.neighbours),
            prior=outcome.prior,
        )


def _name(embedder: Embedder) -> str:
    model = getattr(embedder, "model_name", None) or getattr(embedder, "model", "")
    return f"{type(embedder).__module__}:{type(embedder).__qualname__} {model}"


def _short(text: str) -> str:
    """Keep an id within the memory's limit for names."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return text if len(text) <= MAX_NAME else f"{text[:100]} #{digest}"


def warm_start(call: Call, neighbours: Sequence[Neighbour], settings: Settings) -> WarmStart:
    """Move the question's base latents as its neighbours' moved."""
    call.opening()
    moved = momentum_transfer(
        call.base(),
        neighbours,
        strength=settings.momentum,
        temperature=settings.momentum_temperature,
    )
    return WarmStart(latents=moved, road="memory")
