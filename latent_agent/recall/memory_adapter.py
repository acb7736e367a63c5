"""What a call recalls before it answers, and leaves behind after it has."""

import hashlib
import time
from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from latent_agent.errors import BudgetSpent, EmbedderError, PriorError
from latent_agent.recall.active_prior import ActivePrior
from latent_agent.recall.open_memory import Mode
from latent_agent.recall.rated import rated_shelf, recalled_with_ratings
from latent_agent.recall.stored_search import search_text
from latent_agent.recall.types import NO_MEMORY, CallMemory, OpenCall, Recalled, Stored
from latent_agent.recall.warm_start import as_it_was, warm_starts
from latent_agent.reward.base import Score
from latent_agent.search.types import SearchRecord, Start, Trial
from latent_agent.setting_rules import check_prior
from latent_memory import (
    FEEDBACK,
    MAX_NAME,
    UNRATED,
    Awaited,
    LatentMemory,
    LatentMemoryError,
    Neighbour,
    RateError,
    Shelf,
    Trace,
)
from latent_memory.priors.priors import find_prior
from latent_memory.validation import check_embedding

HELD = " held by a grammar"
"""Ends the fingerprint of answers that no other call may start from."""

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
        rateable: Whether answers that leave no trace are kept for a rating: somebody can give one.
        deadline: How long an answer waits for its outcome; None: for ever.
        conversations: Whether what came before the question is stored too.
    """

    def __init__(
        self,
        memory: LatentMemory,
        namespace: str,
        reward: str,
        mode: Mode = "read-write",
        embedder: Embedder | None = None,
        prior: str | int | None = "auto",
        *,
        rateable: bool = False,
        deadline: timedelta | None = None,
        conversations: bool = True,
    ) -> None:
        self._memory, self._mode, self._embedder = memory, mode, embedder
        self._prior, self._rateable = check_prior(prior), rateable
        self._deadline, self._conversations = deadline, conversations
        self._namespace, self._reward = namespace, shelf_reward(reward)
        self._learns, self._held = True, False

    @property
    def namespace(self) -> str:
        """Whose traces these are."""
        return self._namespace

    @property
    def writable(self) -> LatentMemory | None:
        """The memory behind it; None if it is only read."""
        return None if self._mode == "read" else self._memory

    def within(self, namespace: str) -> "TraceMemory":
        """Return the same memory as another namespace sees it."""
        other = copy(self)
        other._namespace = namespace
        return other

    def for_rating(self, *, held: bool = False) -> CallMemory:
        """Return the memory of calls that recall and learn nothing; see `CallMemory`."""
        if not self._rateable or self._mode == "read":
            return NO_MEMORY
        other = copy(self)
        other._learns, other._held = False, held
        return other

    def recall(self, call: OpenCall) -> Recalled:
        """Embed the question, find its neighbours, and turn them into warm starts."""
        try:
            embedding = embed_question(call, self._embedder)
            recalled = Recalled(embedding=embedding)
            if not self._learns:
                return recalled
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
            neighbours = recalled_with_ratings(
                self._memory, embedding, shelf, call.settings.neighbours
            )
            # An import may have made the shelf, with latents of any width.
            neighbours = [one for one in neighbours if one.stored.trace.base.shape[-1] == width]
        try:
            if self._prior is not None:
                prior = self._prior_for(shelf, (len(embedding), width))
        except (PriorError, LatentMemoryError) as failure:
            error = failure
        seconds = round(time.monotonic() - began, 6)
        nothing = Recalled(embedding=embedding, error=error, seconds=seconds)
        if not neighbours and prior is None:
            return nothing
        if not call.writer.opening().whole:
            return nothing  # the draft ends there too
        if (known := self._asked_before(call, neighbours)) is not None:
            start = as_it_was(known, call.writer.base().device)
            return replace(nothing, neighbours=[known], warm_starts=[start])
        starts = warm_starts(embedding, call.writer.base(), neighbours, prior, call.settings)
        version = None if prior is None else prior.version
        return replace(nothing, neighbours=neighbours, warm_starts=starts, prior=version)

    def _asked_before(self, call: OpenCall, neighbours: Sequence[Neighbour]) -> Neighbour | None:
        """Return the newest trace of this very conversation that was rated right, if there is one.

        Neither another question's journey nor a prior's guess knows better.
        """
        asked = call.question, call.stored_conversation
        if asked[1] == "":
            return None  # too long to be kept: which it was nobody knows
        known = [
            one
            for one in neighbours
            if one.stored.trace.shelf.reward == FEEDBACK
            and (one.stored.trace.query, one.stored.trace.conversation) == asked
        ]
        return max(known, key=lambda one: one.stored.id, default=None)

    def _prior_for(self, shelf: Shelf, widths: tuple[int, int]) -> ActivePrior | None:
        """Find the active prior, of rated traces before those of the call's reward, or a version.

        Raises:
            LatentMemoryError: If the memory cannot be read, or holds no prior of that version.
            PriorError: If its file is damaged, or the version is another shelf's.
        """
        rated_ones = rated_shelf(shelf)
        if self._prior != "auto":
            whose = find_prior(self._memory.database, int(self._prior or 0)).shelf
            of = rated_ones if whose == rated_ones else shelf
            return ActivePrior.find(self._memory, of, self._prior, widths)
        rated = ActivePrior.find(self._memory, rated_ones, widths=widths)
        return rated or ActivePrior.find(self._memory, shelf, widths=widths)

    @property
    def _recipe(self) -> str | None:
        return None if self._embedder is None else embedder_name(self._embedder)

    def _shelf(self, call: OpenCall) -> Shelf:
        template = call.settings.chat_template_kwargs
        fingerprint = call.model.fingerprint(self._recipe, template)
        if self._held:
            fingerprint += HELD
        return Shelf(namespace=self._namespace, fingerprint=fingerprint, reward=self._reward)

    def remember(self, call: OpenCall, recalled: Recalled, search: SearchRecord) -> Stored:
        """Store the best answer of a search, or the draft if nothing was scored.

        Tool calls, what scored too low, and what nobody judged lie on the shelf of unrated answers:
        nothing was learned from them, but a rating can still make something of them. There lies a
        sampled draft too whose prefix is the draft's: its latents would lead to the draft.
        """
        best, embedding = search.best or _unjudged(call), recalled.embedding
        if self._mode == "read" or best is None or embedding is None:
            return Stored()
        score, source, shelf = best.trial.score, best.trial.source, self._shelf(call)
        kept = self._learns and search.best is not None and shelf.reward != FEEDBACK
        kept = kept and not (best.trial.calls or score.vetoed or _leads_elsewhere(call, best.trial))
        if not kept or score.value < call.settings.archive:
            kept, shelf = False, replace(shelf, reward=UNRATED)
        if not kept and not self._rateable:
            return Stored()
        try:
            trace = Trace(
                shelf=shelf,
                query=call.question,
                answer=best.trial.text,
                embedding=embedding,
                base=call.writer.base()[: len(best.latents)].cpu().numpy(),
                optimised=best.latents.detach().cpu().numpy(),
                tokens=best.trial.prefix,
                score=best.trial.score.value,
                rewards=tuple(search.rewards),
                steps=search.rounds,
                stopped=search.stopped if search.best is not None else "unjudged",
                neighbours=best.neighbours,
                prior=recalled.prior if source in ("memory", "prior") else None,
                conversation=self._conversation(call),
                settings=search_text(call.settings, self._recipe),
            )
            left = call.budget.seconds_left
            within = None if left is None else max(left, _LEAST_WAIT)
            until = None if self._deadline is None else datetime.now(UTC) + self._deadline
            awaited = Awaited(run=call.run, until=until)
            id_ = self._memory.add(trace, within=within, awaited=awaited)
            return Stored(trace_id=id_ if kept else None, answer_id=id_)
        except RateError as failure:
            return Stored(error=failure if kept else None)
        except LatentMemoryError as failure:
            return Stored(error=failure)

    def _conversation(self, call: OpenCall) -> str | None:
        """Return what was asked as a trace keeps it; empty: it cannot be asked again."""
        asked = call.stored_conversation
        return "" if self._held or (asked is not None and not self._conversations) else asked


def _leads_elsewhere(call: OpenCall, trial: Trial) -> bool:
    """Whether its latents lead to another answer.

    As those of a sampled draft do that leaves the draft later than they say, and those of an answer
    behind a soft prefix, without which the model goes on otherwise.
    """
    if trial.latents is not None:
        return True
    opening = call.writer.opening().tokens
    return trial.source == "sample" and trial.prefix == opening[: len(trial.prefix)]


def _unjudged(call: OpenCall) -> Start | None:
    """Return the whole draft as an answer that nobody judged; None: there is none."""
    draft = call.writer.drafted
    if draft is None or not draft.whole:
        return None
    base = call.writer.base()
    trial = Trial(
        prefix=draft.tokens[: len(base)],
        tokens=draft.tokens,
        text=draft.text,
        score=Score(value=-1.0),
        finish=draft.finish,
        source="draft",
    )
    return Start(trial=trial, latents=base)


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
