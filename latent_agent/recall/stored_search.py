"""How a call searched, as its trace keeps it, so that a night can search in the same way."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from latent_agent.model.registry import DATE, SharedModel
from latent_agent.settings import Settings

REPLAYED = (
    *("temperature", "sample_draft", "top_p", "max_tokens", "stop", "max_iterations", "samples"),
    *("learning_rate", "fraction", "prefix_tokens", "threshold", "patience", "reward_offset"),
    *("max_forwarded_tokens", "search", "positions", "position_share", "baseline", "step", "rest"),
    *("ties", "chat_template_kwargs"),
)
"""Settings that decide how a question is searched; the reward is the shelf's."""

_DEFAULTS = Settings()
_EMBEDDING, _TEMPLATE = "embedding", "chat_template_kwargs"


def search_text(settings: Settings, embedder: str | None = None) -> str:
    """Return how a call searched as a trace keeps it: what differs from the plain defaults.

    Args:
        settings: The call's. Of the chat template's arguments the date is left out, as
            fingerprints leave it out: each day's settings would differ.
        embedder: What embedded the question; None: the model itself.
    """
    kept = {name: getattr(settings, name) for name in REPLAYED}
    kept[_TEMPLATE] = {name: kept[_TEMPLATE][name] for name in {*kept[_TEMPLATE]} - {DATE}}
    kept = {name: value for name, value in kept.items() if value != getattr(_DEFAULTS, name)}
    return json.dumps(kept if embedder is None else {**kept, _EMBEDDING: embedder})


@dataclass(frozen=True, kw_only=True)
class StoredSearch:
    """How a call searched.

    Attributes:
        settings: Those that differ from the plain defaults.
        embedder: What embedded the question; None: the model itself.
    """

    settings: Mapping[str, Any]
    embedder: str | None = None

    @property
    def template(self) -> Mapping[str, Any]:
        """Arguments of the chat template."""
        return self.settings.get(_TEMPLATE, {})

    def fingerprint(self, model: SharedModel) -> str:
        """Return the fingerprint of such calls."""
        return model.fingerprint(self.embedder, self.template)


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
    embedder: Any = held.get(_EMBEDDING)
    return StoredSearch(settings=settings, embedder=None if embedder is None else str(embedder))
