"""Engines that are given as models."""

import sys
from typing import TYPE_CHECKING, Any

from latent_agent.model.source import ModelFacts, ModelSource

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine


def is_engine(model: Any) -> bool:
    """Whether a model is an engine; imports nothing heavy for that."""
    seam = sys.modules.get("latent_agent.model.engine")
    return seam is not None and isinstance(model, seam.Engine)


class EngineSource(ModelSource):
    """An engine that somebody made: all is known."""

    def __init__(self, engine: "Engine") -> None:
        self._engine, self.embedding = engine, f"{engine.name}'s own"

    def facts(self) -> ModelFacts:
        """Return what the engine says."""
        engine = self._engine
        return ModelFacts(
            name=engine.name,
            context_window=engine.context_window,
            vocabulary=engine.vocabulary,
            width=engine.width,
        )

    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Return the engine's."""
        return self._engine.tokenizer

    def load(self, tokenizer: "PreTrainedTokenizerBase") -> "Engine":  # noqa: ARG002 - it has one
        """Return the engine."""
        return self._engine

    def weights(self, engine: "Engine | None") -> str | None:  # noqa: ARG002 - it is at hand
        """Return the engine's identity."""
        return self._engine.identity
