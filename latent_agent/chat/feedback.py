"""Feedback on the answers of a chat model."""

import re
from contextlib import suppress
from typing import Any, Protocol
from uuid import UUID

from langchain_core.messages import AIMessage

from latent_agent.call.agent import LatentAgent
from latent_agent.call.correction import read_waiting
from latent_agent.errors import SettingError
from latent_agent.model.held_models import HeldModels
from latent_agent.model.options import LoadOptions
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.recall.open_memory import Mode, open_memory
from latent_agent.telemetry.ratings import rated
from latent_memory import Feedback, FeedbackError, LatentMemoryError, Rating

_HEX = "[0-9a-fA-F]"
_RUN = re.compile(  # a message's id has words before it, and the answer's number behind it
    rf"(?:(?:lc_)?run--?)?({_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}})(?:-\d+)?"
)
_READ_AT_A_CALL = 4
"""Corrections that a call reads before it answers: each takes about as long as a short prompt."""


class Rateable(Protocol):
    """What feedback needs of a chat model."""

    memory: Any
    memory_mode: Mode
    namespace: str
    model: Any
    tokenizer: Any
    held_models: HeldModels

    @property
    def load_options(self) -> LoadOptions:
        """How its model is opened."""
        ...


def give_feedback(
    chat: Rateable, answer: AIMessage | UUID | int | str, namespace: str | None, given: Feedback
) -> Rating:
    """Store feedback on an answer: see `ChatLatentSeek.feedback`."""
    memory = open_memory(chat.memory, chat.memory_mode)
    if memory is None:
        raise SettingError(
            f"feedback needs a memory, got memory={chat.memory!r}; for example "
            "memory='answers.sqlite3'"
        )
    whose = chat.namespace if namespace is None else namespace
    rating = memory.rate(answer_id(answer), given, namespace=whose)
    rated(given, whose, rating.trace)
    if not rating.pending:
        return rating
    model = chat.held_models.open(chat.model, chat.tokenizer, chat.load_options)
    if model.loaded:
        read_waiting(memory, model, whose)
    return memory.ratings([rating.trace]).get(rating.trace, rating)


def read_corrections(agent: LatentAgent) -> None:
    """Let a call's model read corrections that were given where none was loaded.

    A call with a budget reads none: it would have less for its answer.
    """
    settings, memory = agent.settings, agent.memory
    if settings.timeout is not None or settings.max_forwarded_tokens is not None:
        return
    store = memory.writable if isinstance(memory, TraceMemory) else None
    if store is None or memory.namespace is None:
        return
    with suppress(LatentMemoryError):  # the call meets it too, and says so in its outcome
        if store.has_unread(memory.namespace):
            read_waiting(store, agent.model, memory.namespace, _READ_AT_A_CALL)


def given_feedback(
    score: float | None, comment: str | None, correction: str | None, source: str
) -> Feedback:
    """Return feedback; beside a correction a score may be left out.

    Raises:
        FeedbackError: If there is neither.
    """
    if score is None and correction is None:
        raise FeedbackError("feedback must have a score or a correction, got neither; give score=1")
    number = 0.0 if score is None else score
    return Feedback(score=number, source=source, comment=comment, correction=correction)


def answer_id(answer: Any) -> int | str:
    """Return what feedback on an answer goes to: its trace's id, or that of its run.

    Raises:
        FeedbackError: If it is no answer of this chat model, or was not kept.
    """
    if isinstance(answer, int) and not isinstance(answer, bool):
        return answer
    if isinstance(answer, (str, UUID)):
        return run_id(answer)
    metadata = getattr(answer, "response_metadata", None)
    ours: Any = metadata.get("latent_agent") if isinstance(metadata, dict) else None
    if not isinstance(ours, dict):
        raise FeedbackError(
            "feedback must be on a message that ChatLatentSeek made, or on an id of one, got "
            f"{type(answer).__name__} {str(answer)[:80]!r}; pass what invoke returned"
        )
    number: Any = ours.get("answer_id")
    if number is None:
        raise FeedbackError(
            "feedback must be on an answer that was kept, but this one was not "
            f"({ours.get('memory_error') or 'there was no memory to keep it'}); ask with a memory"
        )
    return number


def run_id(run: UUID | str) -> str:
    """Return a run's id as answers are stored with it: LangSmith's, or a message's ``id``.

    Raises:
        FeedbackError: If it is none.
    """
    found = _RUN.fullmatch(str(run))
    if found is None:
        raise FeedbackError(
            f"a run must be named by its UUID, got {str(run)[:80]!r}; pass the message, its "
            "answer_id, or the id of the chat model's run"
        )
    return str(UUID(found[1]))
