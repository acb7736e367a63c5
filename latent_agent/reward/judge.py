"""What a reward may ask of the LM that answered."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from latent_agent.errors import RewardError


@dataclass(frozen=True, kw_only=True)
class JudgeRequest:
    """One question put to the LM about an answer.

    Attributes:
        prompt: The user text.
        max_tokens: Longest reply.
        choices: If given, no reply is written: the likelier of these words is read from the
            logits of one forward pass.
        values: If given, one for each choice: the reply is then their mean, weighed by how likely
            the choices are beside each other, as a number.
        whole: Of a reply that is cut off at its longest nothing is returned.
    """

    prompt: str
    max_tokens: int = 64
    choices: tuple[str, ...] = ()
    values: tuple[float, ...] = ()
    whole: bool = False


class Judge(Protocol):
    """The LM as a judge of its own answers, bound to one call's cache and budget."""

    @property
    def prompts(self) -> Mapping[str, Any] | None:
        """Judge prompts that travel in the model's own folder, if it has any."""
        ...

    def ask(self, requests: Sequence[JudgeRequest]) -> list[str]:
        """Return one reply for each request, without what was thought before it.

        What the prompts share is read once.
        """
        ...

    def tells_apart(self, words: Sequence[str]) -> bool:
        """Whether each of some words is a single token of the LM, and no two are the same."""
        ...


def needed(judge: Judge | None, reward: object) -> Judge:
    """Return a judge.

    Raises:
        RewardError: If there is none.
    """
    if judge is None:
        raise RewardError(
            f"{type(reward).__name__} needs the model that answered, got none; use it inside "
            "ChatLatentSeek or LatentAgent"
        )
    return judge
