"""The turns of a conversation, and the texts in them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from latent_agent.model.thinking import knows_thinking, split_thought
from latent_agent.tools.call import ToolCall, calls_text

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Turn:
    """One message.

    Attributes:
        role: The speaker.
        content: The text.
        calls: The tools that an assistant's turn calls.
        name: The tool whose result a tool's turn is.
        call_id: The call that the result belongs to.
        thought: What an assistant thought before its text; the template decides whether it stays.
    """

    role: Role
    content: str
    calls: tuple[ToolCall, ...] = ()
    name: str | None = None
    call_id: str | None = None
    thought: str = ""

    @property
    def text(self) -> str:
        """The text with the calls in it, where calls are not supported."""
        return "\n".join(part for part in (self.content, calls_text(self.calls)) if part)


def last_question(turns: Sequence[Turn]) -> str:
    """Return the last human text, which rewards are given as the question."""
    return next((turn.content for turn in reversed(turns) if turn.role == "user"), "")


def transcript(turns: Sequence[Turn]) -> str:
    """Render a conversation for a judge: a lone question as it is, else one ``role: text`` each."""
    if len(turns) == 1:
        return turns[0].content
    return "\n".join(f"{turn.role}: {turn.text}" for turn in turns)


def thoughts_apart(turns: Sequence[Turn], tokenizer: "PreTrainedTokenizerBase") -> list[Turn]:
    """Move thoughts out of the assistant's texts, if the model knows the tags around them.

    Between such tags in a turn of another role is plain text.
    """
    return [_apart(turn) for turn in turns] if knows_thinking(tokenizer) else list(turns)


def _apart(turn: Turn) -> Turn:
    if turn.role != "assistant":
        return turn
    thought, content = split_thought(turn.content)
    return replace(turn, thought=turn.thought or thought, content=content)


def map_texts(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value, a turn, or a list of either, with its texts changed, keys included."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {change(str(key)): map_texts(part, change) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [map_texts(part, change) for part in value]
    if not isinstance(value, Turn):
        return value
    calls = tuple(
        replace(call, name=change(call.name or ""), arguments=map_texts(call.arguments, change))
        for call in value.calls
    )
    return replace(
        value,
        content=change(value.content),
        thought=change(value.thought),
        name=map_texts(value.name, change),
        calls=calls,
    )


def texts_in(value: Any) -> list[str]:
    """Return the texts that `map_texts` would change."""
    texts: list[str] = []

    def collect(text: str) -> str:
        texts.append(text)
        return text

    map_texts(value, collect)
    return texts
