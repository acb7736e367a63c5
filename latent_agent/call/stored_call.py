"""What a trace keeps of its call, so that a night can ask it again as it was."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from latent_agent.call.answer_format import Form
from latent_agent.model.conversation import Turn, last_question
from latent_agent.model.prompt_pooling import EMBEDDING
from latent_agent.model.registry import DATE, SharedModel
from latent_agent.settings import Settings
from latent_agent.tools.call import Tool
from latent_memory import MAX_CONVERSATION, Trace

REPLAYED = (
    *("temperature", "sample_draft", "top_p", "max_tokens", "stop", "max_iterations", "samples"),
    *("learning_rate", "fraction", "prefix_tokens", "threshold", "patience", "reward_offset"),
    *("max_forwarded_tokens", "search", "positions", "position_share", "baseline", "step", "rest"),
    *("ties", "chat_template_kwargs"),
)
"""Settings that decide how a question is searched; the reward is the shelf's."""

_DEFAULTS = Settings()
_EMBEDDING, _TEMPLATE = "embedding", "chat_template_kwargs"


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


def search_text(settings: Settings, recipe: str) -> str:
    """Return how a call searched as a trace keeps it: what differs from the plain defaults.

    Args:
        settings: The call's. Of the chat template's arguments the date is left out, as
            fingerprints leave it out: each day's settings would differ.
        recipe: What embedded the question.
    """
    kept = {name: getattr(settings, name) for name in REPLAYED}
    kept[_TEMPLATE] = {name: kept[_TEMPLATE][name] for name in {*kept[_TEMPLATE]} - {DATE}}
    kept = {name: value for name, value in kept.items() if value != getattr(_DEFAULTS, name)}
    return json.dumps(kept if recipe == EMBEDDING else {**kept, _EMBEDDING: recipe})


@dataclass(frozen=True, kw_only=True)
class StoredSearch:
    """How a call searched.

    Attributes:
        settings: Those that differ from the plain defaults.
        recipe: What embedded the question.
    """

    settings: Mapping[str, Any]
    recipe: str

    @property
    def template(self) -> Mapping[str, Any]:
        """Arguments of the chat template."""
        return self.settings.get(_TEMPLATE, {})

    def fingerprint(self, model: SharedModel, embedder: str | None = None) -> str:
        """Return the fingerprint of such calls, with another embedder if one is named."""
        return model.fingerprint(embedder or self.recipe, self.template)


def search_of(text: str | None) -> StoredSearch:
    """Return what `search_text` was given; of None, and of what an import may hold, what is known.

    Values are not checked; `Settings` does that.
    """
    try:
        kept: Any = json.loads(text or "{}")
    except (ValueError, RecursionError):
        kept = {}
    held: dict[str, Any] = kept if isinstance(kept, dict) else {}
    settings = {name: held[name] for name in REPLAYED if name in held}
    if "stop" in settings:
        stops: Any = settings["stop"] if isinstance(settings["stop"], list) else ()
        settings["stop"] = tuple(str(stop) for stop in stops)
    if not isinstance(settings.get(_TEMPLATE, {}), dict):
        del settings[_TEMPLATE]
    return StoredSearch(settings=settings, recipe=str(held.get(_EMBEDDING, EMBEDDING)))
