"""LangChain messages to turns."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ChatMessage, ToolMessage

from latent_agent.errors import PromptError
from latent_agent.prompt import Role, Turn
from latent_agent.tools.call import ToolCall

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
_CALLS = ("tool_use", "tool_call", "function_call")
"""Blocks that repeat what stands in ``tool_calls``."""


def to_turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Turn LangChain messages into turns.

    Raises:
        PromptError: If there are none, a role is unknown, content is not text, a tool's result
            answers no call, or nothing is left to answer.
    """
    if not messages:
        raise PromptError("messages must hold at least one message, got []; add a human message")
    turns = read_turns(messages)
    _check_results(turns)
    _check_end(turns[-1])
    return turns


def read_turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Turn messages into turns that need not make a conversation.

    Raises:
        PromptError: If a role is unknown, or content is not text.
    """
    return [_turn(message) for message in messages]


def _turn(message: BaseMessage) -> Turn:
    role, content = _role(message), _text(message)
    if isinstance(message, AIMessage):
        calls = tuple(
            ToolCall(name=call["name"], arguments=call["args"], id=call["id"] or "")
            for call in message.tool_calls
        )
        return Turn(role, content, calls)
    call_id = message.tool_call_id if isinstance(message, ToolMessage) else None
    return Turn(role, content, name=message.name, call_id=call_id)


def _check_results(turns: Sequence[Turn]) -> None:
    names: dict[str, str | None] = {}
    for at, turn in enumerate(turns):
        names |= {call.id: call.name for call in turn.calls}
        if turn.call_id is not None and turn.call_id not in names:
            raise PromptError(
                f"a tool message must answer a call that stands before it, got tool_call_id="
                f"{turn.call_id!r} at message {at} after calls {list(names)}; keep the AIMessage "
                "with its tool_calls, or drop the result too"
            )


def _check_end(last: Turn) -> None:
    if last.role != "assistant":
        return
    remedy = (
        "add a ToolMessage for each of its tool_calls"
        if last.calls
        else "add a human message; this model continues no answer that was begun for it"
    )
    raise PromptError(
        "messages must end with what is to be answered, a human, system or tool message, got an "
        f"assistant message {last.text[:80]!r} at the end; {remedy}"
    )


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
    kind = block.get("type") if isinstance(block, dict) else type(block).__name__
    if kind == "text":
        return str(block.get("text", ""))
    if kind in _CALLS:
        return ""
    raise PromptError(
        f"a message's content must be text, got a block of type {kind!r}; this model reads no "
        "images, audio or files, so describe them in words"
    )
