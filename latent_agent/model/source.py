"""Where a model comes from: what is known of it before its weights are read, and how they are."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What is known of a model before its weights are read.

    Attributes:
        name: Its id, path or file, as messages and spans name it.
        context_window: How many positions it knows; None: no limit.
        vocabulary: How many tokens it has.
        width: How many numbers a latent has (d).
    """

    name: str
    context_window: int | None
    vocabulary: int
    width: int


class ModelSource(ABC):
    """Where a model comes from.

    Attributes:
        embedding: Name of the recipe that its engine embeds prompts by.
    """

    embedding: str

    @abstractmethod
    def facts(self) -> ModelFacts:
        """Return what is known of the model; raise `ModelError` if it cannot be searched."""

    @abstractmethod
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """Read the tokenizer; raise `ModelError` if there is none."""

    @abstractmethod
    def load(self, tokenizer: "PreTrainedTokenizerBase") -> "Engine":
        """Read the weights; raise `ModelError` if they cannot be read."""

    def precision(self) -> str:
        """Return the data type or quantisation that it computes with, or an empty text."""
        return ""

    def size(self) -> int | None:
        """Return how many bytes its weights take on this disk; None: nobody knows."""
        return None

    @abstractmethod
    def weights(self, engine: "Engine | None") -> str | None:
        """Return an id of the weights as they are computed with.

        Args:
            engine: The engine, once it is loaded; None: say it without, or return None.
        """

    def state(self) -> object:
        """Return what shows that the weights were changed in place; most cannot be."""
        return None

    def judge_prompts(self) -> Mapping[str, Any] | None:
        """Return the judge prompts that travel with the model, if any do."""
        return None
