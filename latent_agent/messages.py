"""LangChain messages to turns."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import BaseMessage, ChatMessage

from latent_agent.errors import PromptError
from latent_agent.prompt import Role, Turn

_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "ai": "assistant",
    "assistant": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}


def to_turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Turn LangChain messages into turns of plain text.

    Raises:
        PromptError: If there are none, a role is unknown, or content is not text.
    """
    if not messages:
        raise PromptError("messages must hold at least one message, got []; add a human message")
    return [Turn(_role(message), _text(message)) for message in messages]


def _role(message: BaseMessage) -> Role:
    name = message.role if isinstance(message, ChatMessage) else message.type
    name = name.removesuffix("MessageChunk").lower()
    if name not in _ROLES:
        raise PromptError(
            f"a message's role must be one of {sorted(_ROLES)}, got {name!r}; use a "
            "HumanMessage, AIMessage, SystemMessage or ToolMessage"
        )
    return _ROLES[name]


def _text(message: BaseMessage) -> str:
    content: Any = message.content
    blocks = [content] if isinstance(content, str) else content
    return "".join(_block_text(block) for block in blocks)


def _block_text(block: Any) -> str:
    if isinstance(block, str):
        return block
    if isinstance(block, dict) and block.get("type") == "text":
        return str(block.get("text", ""))
    kind = block.get("type") if isinstance(block, dict) else type(block).__name__
    raise PromptError(
        f"a message's content must be text, got a block of type {kind!r}; this model reads no "
        "images, audio or files, so describe them in words"
    )
