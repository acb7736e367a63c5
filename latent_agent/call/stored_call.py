"""What a call was asked, as its trace keeps it, so that a night can ask it again."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError

from latent_agent.call.answer_format import Form
from latent_agent.model.conversation import Turn, last_question
from latent_agent.tools.call import Tool
from latent_memory import MAX_CONVERSATION, Trace


@dataclass(frozen=True, kw_only=True)
class StoredCall:
    """What a call was asked.

    Attributes:
        turns: The conversation.
        tools: What could be called.
        several: Whether one answer could make more than one call.
    """

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...] = ()
    several: bool = True

    @classmethod
    def question(cls, text: str, system: str | None = None) -> "StoredCall":
        """Return a question by itself, or behind a system prompt."""
        before = () if system is None else (Turn("system", system),)
        return cls(turns=(*before, Turn("user", text)))

    @property
    def form(self) -> Form:
        """What form the answer had."""
        return Form(tools=self.tools, several=self.several)


_ASKED = TypeAdapter(StoredCall)


def call_text(turns: Sequence[Turn], form: Form) -> str | None:
    """Return what a call was asked as a trace keeps it.

    None for a question by itself, which a trace keeps anyway; empty for what is too long.
    """
    if not form.tools and len(turns) == 1 and turns[0].role == "user":
        return None
    asked = StoredCall(turns=tuple(turns), tools=form.tools, several=form.several)
    text = _ASKED.dump_json(asked, exclude_defaults=True).decode()
    return text if len(text) <= MAX_CONVERSATION else ""


def call_of(trace: Trace) -> StoredCall | None:
    """Return what a trace's call was asked; None if it cannot be asked again.

    Of traces that hold the question alone, as those from before revision 0006, that is all.
    """
    if trace.query is None or not trace.query.strip():
        return None
    if trace.conversation is None:
        return StoredCall.question(trace.query)
    try:
        asked = _ASKED.validate_json(trace.conversation)
    except ValidationError:  # too long to be kept, or an import's
        return None
    return asked if last_question(asked.turns) == trace.query else None
