"""Who answers in a conversation: a model in this process, or a server."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Role = Literal["human", "ai"]
Turn = tuple[Role, str]
"""Who speaks, and what."""

Show = Callable[[str, str], None]
"""Takes what an answer is made of while it is made, from any thread: a kind and a text.

``draft``, ``thought`` and ``answer`` are pieces, to be put together; ``drafted`` is a whole draft;
``doing`` is what goes on.
"""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer.

    Attributes:
        text: What it says.
        cut: Whether it ran into the longest length that it may have.
        way: How it came about, as in ``response_metadata["latent_agent"]``; None where the server
            is not ours and does not say.
        id: What feedback on it goes to; None: it was not kept.
    """

    text: str
    cut: bool = False
    way: Mapping[str, Any] | None = None
    id: Any = None


@dataclass(frozen=True, kw_only=True)
class Said:
    """What the user says of an answer; a score in [0, 1], or the right answer, or both."""

    score: float | None = None
    comment: str | None = None
    correction: str | None = None


class Partner(Protocol):
    """Who answers.

    An answer may be broken off by a KeyboardInterrupt; the work for it stops then.
    """

    @property
    def title(self) -> str:
        """Who it is, in one line."""
        ...

    def open(self) -> None:
        """Do what takes long before the first question, such as to load a model."""
        ...

    def answer(self, turns: Sequence[Turn], show: Show) -> Reply:
        """Answer a conversation that ends with a question.

        Raises:
            LatentAgentError: If there is no answer.
        """
        ...

    def rate(self, answer: Reply, said: Said) -> str:
        """Keep what is said of an answer; return what became of it, in words.

        Raises:
            LatentAgentError: If it cannot be kept.
        """
        ...

    def close(self) -> None:
        """Let go of what was opened."""
        ...

    def question_of(self, trace: int) -> str | None:
        """Return the question of a recalled trace; None where that cannot be seen."""
        ...
