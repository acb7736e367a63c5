"""What a call recalls before it answers, and leaves behind after it has."""

import hashlib
import time
from copy import copy
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latent_agent.errors import BudgetSpent, EmbedderError, PriorError
from latent_agent.recall.active_prior import ActivePrior
from latent_agent.recall.open_memory import Mode
from latent_agent.recall.stored_search import search_text
from latent_agent.recall.types import CallMemory, OpenCall, Recalled, Stored
from latent_agent.recall.warm_start import warm_starts
from latent_agent.search.types import SearchRecord
from latent_agent.setting_rules import check_prior
from latent_memory import MAX_NAME, LatentMemory, LatentMemoryError, Neighbour, Shelf, Trace
from latent_memory.validation import check_embedding

_LEAST_WAIT = 1.0  # seconds that a call waits for other writers, however little time it has left


class Embedder(Protocol):
    """Anything with the ``embed_query`` of LangChain's ``Embeddings``."""

    def embed_query(self, text: str) -> list[float]:
        """Return a text's embedding."""
        ...


class TraceMemory(CallMemory):
    """One shelf of a memory, as calls use it.

    A memory that fails costs no answer: the outcome says what went wrong.

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

    def recall(self, call: OpenCall) -> Recalled:
        """Embed the question, find its neighbours, and turn them into warm starts."""
        try:
            embedding = embed_question(call, self._embedder)
            recalled = Recalled(embedding=embedding)
            if self._mode != "write":
                recalled = self._recalled(call, embedding)
        except BudgetSpent:
            recalled = Recalled()  # the draft runs into the same limit, and reports it
        except (LatentMemoryError, EmbedderError) as failure:
            recalled = Recalled(error=failure)
        call.report("recall", neighbours=recalled.ids, prior=recalled.prior)
        return recalled

    def _recalled(self, call: OpenCall, embedding: NDArray[np.float32]) -> Recalled:
        shelf, neighbours, prior, error = self._shelf(call), list[Neighbour](), None, None
        width, began = call.model.width, time.monotonic()
        if call.settings.neighbours:
            neighbours = self._memory.recall(embedding, shelf=shelf, k=call.settings.neighbours)
            # An import may have made the shelf, with latents of any width.
            neighbours = [one for one in neighbours if one.stored.trace.base.shape[-1] == width]
        try:
            if self._prior is not None:
                wanted = None if self._prior == "auto" else self._prior
                prior = ActivePrior.find(self._memory, shelf, wanted, (len(embedding), width))
        except (PriorError, LatentMemoryError) as failure:
            error = failure
        seconds = round(time.monotonic() - began, 6)
        nothing = Recalled(embedding=embedding, error=error, seconds=seconds)
        if not neighbours and prior is None:
            return nothing
        if call.writer.opening().finish in ("time", "tokens"):
            return nothing  # the draft ends there too
        starts = warm_starts(embedding, call.writer.base(), neighbours, prior, call.settings)
        version = None if prior is None else prior.version
        return replace(nothing, neighbours=neighbours, warm_starts=starts, prior=version)

    @property
    def _recipe(self) -> str | None:
        return None if self._embedder is None else embedder_name(self._embedder)

    def _shelf(self, call: OpenCall) -> Shelf:
        template = call.settings.chat_template_kwargs
        return Shelf(
            namespace=self._namespace,
            fingerprint=call.model.fingerprint(self._recipe, template),
            reward=self._reward,
        )

    def remember(self, call: OpenCall, recalled: Recalled, search: SearchRecord) -> Stored:
        """Store the best answer of a search.

        Tool calls leave no trace: nothing judged them, so nothing was learned. Nor does a sampled
        draft whose prefix is the draft's: its latents would lead to the draft.
        """
        best, embedding, least = search.best, recalled.embedding, call.settings.archive
        if self._mode == "read" or best is None or embedding is None or best.trial.calls:
            return Stored()
        if best.trial.score.vetoed or best.trial.score.value < least:
            return Stored()
        source = best.trial.source
        if (
            source == "sample"
            and best.trial.prefix == call.writer.opening().tokens[: len(best.trial.prefix)]
        ):
            return Stored()  # it leaves the draft later than latents say
        try:
            trace = Trace(
                shelf=self._shelf(call),
                query=call.question,
                answer=best.trial.text,
                embedding=embedding,
                base=call.writer.base()[: len(best.latents)].cpu().numpy(),
                optimised=best.latents.detach().cpu().numpy(),
                tokens=best.trial.prefix,
                score=best.trial.score.value,
                rewards=tuple(search.rewards),
                steps=search.rounds,
                stopped=search.stopped,
                neighbours=best.neighbours,
                prior=recalled.prior if source in ("memory", "prior") else None,
                conversation=call.stored_conversation,
                settings=search_text(call.settings, self._recipe),
            )
            left = call.budget.seconds_left
            within = None if left is None else max(left, _LEAST_WAIT)
            return Stored(trace_id=self._memory.add(trace, within=within))
        except LatentMemoryError as failure:
            return Stored(error=failure)


def embed_question(call: OpenCall, embedder: Embedder | None) -> NDArray[np.float32]:
    """Return the embedding of a call's question, by the model itself if there is no embedder.

    Raises:
        BudgetSpent: If reading the prompt breaks a budget.
        EmbedderError: If the embedder fails.
    """
    if embedder is None:
        return call.writer.embed().cpu().numpy()
    try:
        return check_embedding(embedder.embed_query(call.question))
    except Exception as error:
        raise EmbedderError(
            "embeddings must return one vector of finite numbers, but "
            f"{type(embedder).__name__} failed with {type(error).__name__}: {error}; fix "
            "it, or leave it out to embed with the model itself"
        ) from error


def embedder_name(embedder: Embedder) -> str:
    """Return a name under which fingerprints tell an embedder's vectors from those of others."""
    model = getattr(embedder, "model_name", None) or getattr(embedder, "model", "")
    return f"{type(embedder).__module__}:{type(embedder).__qualname__} {model}"


def shelf_reward(text: str) -> str:
    """Return a reward's id as shelves bear it: within the memory's limit for names."""
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    return text if len(text) <= MAX_NAME else f"{text[:100]} #{digest}"
