"""What a call and its memory know of each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from latent_agent.model.budget import Budget
from latent_agent.model.engine import Completion
from latent_agent.model.registry import SharedModel
from latent_agent.recall.warm_start import WarmStart
from latent_agent.search.types import SearchRecord
from latent_agent.settings import Settings
from latent_memory import Neighbour


@dataclass(frozen=True, kw_only=True)
class Recalled:
    """What was recalled for a question.

    Attributes:
        embedding: The question's, raw; None: it could not be embedded, or need not be.
        neighbours: Similar past questions, nearest first.
        warm_starts: What to try before the draft.
        prior: Version of the latent prior that they were made with.
        error: What the memory, the embedder or the prior failed with.
        seconds: How long looking for neighbours and prior took.
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


@dataclass(frozen=True, kw_only=True)
class Stored:
    """What became of an answer in the memory.

    Attributes:
        trace_id: The stored trace, which other questions may start from.
        answer_id: What feedback on the answer goes to: the trace, or a row that waits for it.
        error: What the memory failed with.
    """

    trace_id: int | None = None
    answer_id: int | None = None
    error: Exception | None = None


class Drafting(Protocol):
    """What a memory needs of what writes a call's answers."""

    def embed(self) -> torch.Tensor:
        """Read the prompt and return its embedding, (d,) float32."""
        ...

    def opening(self) -> Completion:
        """Return the draft's beginning, no longer than what is optimised."""
        ...

    def base(self) -> torch.Tensor:
        """Return the draft's first latents, (N, d) float32."""
        ...

    drafted: Completion | None
    """The draft, once it is written."""


class OpenCall(Protocol):
    """What a memory needs of a call."""

    model: SharedModel
    settings: Settings
    budget: Budget
    question: str
    run: str | None

    @property
    def writer(self) -> Drafting:
        """Writes the draft, as far as it is needed."""
        ...

    @property
    def stored_conversation(self) -> str | None:
        """What was asked, as a trace keeps it."""
        ...

    @property
    def report(self) -> Callable[..., None]:
        """Reports an event, by its name and details."""
        ...


class CallMemory:
    """A memory as a call uses it; this one is empty. A store that fails raises nothing here."""

    @property
    def namespace(self) -> str | None:
        """Whose questions are recalled; None: there are none."""
        return None

    def within(self, namespace: str) -> "CallMemory":  # noqa: ARG002
        """Return the same memory as another namespace sees it."""
        return self

    def for_rating(self, *, held: bool = False) -> "CallMemory":  # noqa: ARG002
        """Return the memory of calls that recall and learn nothing: their answers can be rated.

        Args:
            held: Whether a grammar holds the answers. Where its tokens differ from free text's, so
                do the journeys: no other call starts from one.
        """
        return NO_MEMORY

    def recall(self, call: OpenCall) -> Recalled:  # noqa: ARG002
        """Return what helps with a call's question."""
        return Recalled()

    def remember(self, call: OpenCall, recalled: Recalled, search: SearchRecord) -> Stored:  # noqa: ARG002
        """Store what a call learned."""
        return Stored()


NO_MEMORY = CallMemory()
