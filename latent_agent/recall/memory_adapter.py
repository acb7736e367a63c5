"""What a call recalls before it answers, and leaves behind after it has."""

import hashlib
import time
import warnings
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latent_agent.call.call import Call
from latent_agent.call.outcome import Outcome
from latent_agent.call.stored_call import call_text, search_text
from latent_agent.errors import BudgetSpent, EmbedderError, PriorError
from latent_agent.model.prompt_pooling import EMBEDDING
from latent_agent.recall.active_prior import ActivePrior
from latent_agent.recall.open_memory import Mode
from latent_agent.recall.warm_start import WarmStart, warm_starts
from latent_agent.search.refine import Search, Start
from latent_agent.setting_rules import check_prior
from latent_agent.settings import Settings
from latent_memory import MAX_NAME, LatentMemory, LatentMemoryError, Neighbour, Shelf, Trace
from latent_memory.validation import check_embedding

_LEAST_WAIT = 1.0  # seconds that a call waits for other writers, however little time it has left


class Embedder(Protocol):
    """Anything with the ``embed_query`` of LangChain's ``Embeddings``."""

    def embed_query(self, text: str) -> list[float]:
        """Return a text's embedding."""
        ...


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """What was found for a question: its embedding, its neighbours, where to start from.

    ``error`` is what the memory, the embedder or the prior failed with; ``seconds`` is what
    looking took.
    """

    embedding: NDArray[np.float32] | None = None
    neighbours: Sequence[Neighbour] = ()
    warm_starts: Sequence[WarmStart] = ()
    prior: str | None = None
    error: Exception | None = None
    seconds: float | None = None

    @property
    def ids(self) -> list[int]:
        """The neighbours' trace ids, nearest first."""
        return [neighbour.stored.id for neighbour in self.neighbours]


class TraceMemory:
    """One shelf of a memory, as calls use it.

    A memory that fails costs no answer: what went wrong is told in the outcome.

    Args:
        memory: Where traces are kept.
        namespace: Whose traces these are.
        reward: Id of the reward that scores the answers.
        mode: ``read-write``, ``read`` (nothing is stored) or ``write`` (nothing is recalled).
        embedder: Embeds questions in place of the model's own hidden states.
        prior: ``auto`` for the active latent prior, None for none, or a version's number.
    """

    def __init__(
        self,
        memory: LatentMemory,
        namespace: str,
        reward: str,
        mode: Mode = "read-write",
        embedder: Embedder | None = None,
        prior: str | int | None = "auto",
    ) -> None:
        self._memory, self._mode, self._embedder = memory, mode, embedder
        self._prior = check_prior(prior)
        self._namespace, self._reward = namespace, shelf_reward(reward)

    @property
    def namespace(self) -> str:
        """Whose traces these are."""
        return self._namespace

    def within(self, namespace: str) -> "TraceMemory":
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
        except (LatentMemoryError, EmbedderError) as failure:
            return Recalled(error=failure)

    def _recalled(self, call: Call, embedding: NDArray[np.float32], settings: Settings) -> Recalled:
        shelf, found, prior, error = self._shelf(call), [], None, None
        width, began = call.model.width, time.monotonic()
        if settings.neighbours:
            found = self._memory.recall(embedding, shelf=shelf, k=settings.neighbours)
            # An import may have made the shelf, with latents of any width.
            found = [near for near in found if near.stored.trace.base.shape[-1] == width]
        try:
            prior = self._usable_prior(shelf, len(embedding), width)
        except (PriorError, LatentMemoryError) as failure:
            error = failure
        seconds = round(time.monotonic() - began, 6)
        nothing = Recalled(embedding=embedding, error=error, seconds=seconds)
        if not found and prior is None:
            return nothing
        if call.opening().finish in ("time", "tokens"):
            return nothing  # the draft ends there too
        return replace(
            nothing,
            neighbours=found,
            warm_starts=warm_starts(embedding, call.base(), found, prior, settings),
            prior=None if prior is None else prior.version,
        )

    def _usable_prior(self, shelf: Shelf, embedding: int, width: int) -> ActivePrior | None:
        """Return the prior that is wanted; one that is not used draws a warning too."""
        if self._prior is None:
            return None
        version = None if self._prior == "auto" else self._prior
        try:
            prior = ActivePrior.find(self._memory, shelf, version)
            if prior is not None:
                prior.check(embedding, width)
        except PriorError as error:
            warnings.warn(str(error), stacklevel=2)
            raise
        return prior

    @property
    def _recipe(self) -> str:
        return EMBEDDING if self._embedder is None else embedder_name(self._embedder)

    def _shelf(self, call: Call) -> Shelf:
        return Shelf(
            namespace=self._namespace,
            fingerprint=call.model.fingerprint(self._recipe, call.chat_template_kwargs),
            reward=self._reward,
        )

    def _embed(self, call: Call) -> NDArray[np.float32]:
        if self._embedder is None:
            return call.embed().cpu().numpy()
        try:
            return check_embedding(self._embedder.embed_query(call.question))
        except Exception as error:
            raise EmbedderError(
                "embeddings must return one vector of finite numbers, but "
                f"{type(self._embedder).__name__} failed with {type(error).__name__}: {error}; fix "
                "it, or leave it out to embed with the model itself"
            ) from error

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
            **_told(recalled.error),
            recall_seconds=recalled.seconds,
        )
        best, embedding = search.best, recalled.embedding
        if self._mode == "read" or best is None or embedding is None or outcome.calls:
            return outcome
        if best.trial.score.vetoed or best.trial.score.value < settings.archive:
            return outcome
        try:
            trace = replace(
                self._trace(call, embedding, best, search.rounds, outcome),
                conversation=call_text(call.turns, call.form),
                settings=search_text(settings, self._recipe),
            )
            left = call.budget.seconds_left
            within = None if left is None else max(left, _LEAST_WAIT)
            return replace(outcome, trace_id=self._memory.add(trace, within=within))
        except LatentMemoryError as failure:
            return replace(outcome, **_told(failure))

    def _trace(
        self,
        call: Call,
        embedding: NDArray[np.float32],
        best: Start,
        rounds: int,
        outcome: Outcome,
    ) -> Trace:
        source = best.trial.source
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
            neighbours=tuple(outcome.neighbours) if source == "memory" else (),
            prior=outcome.prior if source in ("memory", "prior") else None,
        )


def _told(failure: Exception | None) -> dict[str, str]:
    """Return what an outcome says of a failure; nothing if there is none."""
    if failure is None:
        return {}
    return {"memory_error": str(failure), "memory_failure": type(failure).__name__}


def embedder_name(embedder: Embedder) -> str:
    """Return what tells an embedder's vectors from those of others, as fingerprints hold it."""
    model = getattr(embedder, "model_name", None) or getattr(embedder, "model", "")
    return f"{type(embedder).__module__}:{type(embedder).__qualname__} {model}"


def shelf_reward(text: str) -> str:
    """Return a reward's id as shelves bear it: within the memory's limit for names."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return text if len(text) <= MAX_NAME else f"{text[:100]} #{digest}"
