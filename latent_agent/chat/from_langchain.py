"""LangChain messages to turns."""

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    InvalidToolCall,
    ToolMessage,
)

from latent_agent.chat.to_langchain import REASONING
from latent_agent.errors import PromptError
from latent_agent.model.conversation import Role, Turn
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
_CALLS = ("tool_use", "tool_call", "tool_call_chunk", "function_call", "invalid_tool_call")
"""Blocks that repeat what stands in ``tool_calls`` and ``invalid_tool_calls``."""
_THOUGHTS = ("reasoning", "thinking", "redacted_thinking", "reasoning_content")
_MEDIA = (
    "image", "image_url", "input_image", "audio", "input_audio", "video", "media", "file",
    "input_file", "document",
)  # fmt: skip


def to_turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Turn LangChain messages into turns.

    Raises:
        PromptError: If there are none, a role is unknown, content is not text, a tool's result
            answers no call, or nothing is left to answer.
    """
    if not messages:
        raise PromptError("messages must hold at least one message, got []; add a human message")
    turns = read_turns(messages)
    _check_results(messages, turns)
    _check_end(turns[-1])
    return turns


def read_turns(messages: Sequence[BaseMessage]) -> list[Turn]:
    """Turn messages into turns that need not make a conversation.

    Raises:
        PromptError: If a role is unknown, or content is not text.
    """
    return [_turn(message) for message in messages]


def _turn(message: BaseMessage) -> Turn:
    role = _role(message)
    content = "".join(_block_text(block, role) for block in _blocks(message))
    if isinstance(message, AIMessage):
        calls = tuple(
            ToolCall(name=call["name"], arguments=call["args"], id=call["id"] or "")
            for call in message.tool_calls
        )
        # What could not be read as a call is shown as it was written.
        broken = [_written(call) for call in message.invalid_tool_calls]
        content = "\n".join(part for part in (content, *broken) if part)
        return Turn(role, content, calls, thought=_thought(message))
    call_id = message.tool_call_id if isinstance(message, ToolMessage) else None
    return Turn(role, content, name=message.name, call_id=call_id)


def _check_results(messages: Sequence[BaseMessage], turns: Sequence[Turn]) -> None:
    names: dict[str | None, str | None] = {}
    for at, (message, turn) in enumerate(zip(messages, turns, strict=True)):
        names |= {call.id: call.name for call in turn.calls}
        names |= {call["id"]: call["name"] for call in getattr(message, "invalid_tool_calls", ())}
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


def _blocks(message: BaseMessage) -> list[Any]:
    content: Any = message.content
    return [content] if isinstance(content, str) else content


def _kind(block: Any) -> str:
    return str(block.get("type") if isinstance(block, dict) else type(block).__name__)


def _block_text(block: Any, role: Role) -> str:
    if isinstance(block, str):
        return block
    kind = _kind(block)
    if kind in ("text", "refusal", "text-plain"):
        return str(block.get("refusal" if kind == "refusal" else "text") or "")
    if kind in _CALLS:
        return ""
    inner = _kind(block.get("value")) if kind == "non_standard" else kind
    if inner in _MEDIA:
        raise PromptError(
            f"a message's content must be text, got a block of type {inner!r}; this model reads "
            "no images, audio or files, so describe them in words"
        )
    if role != "assistant":
        raise PromptError(
            f"a message's content must be text, got a block of type {inner!r}, which only an AI "
            "message may hold; write what it says in a text block, or drop it"
        )
    return ""  # another provider's own: searches, citations, containers


def _thought(message: AIMessage) -> str:
    """Return what a model thought, in whichever provider's form."""
    blocks = [block for block in _blocks(message) if _kind(block) in _THOUGHTS]
    thought = "\n\n".join(text for block in blocks if (text := _block_thought(block)))
    return thought or str(message.additional_kwargs.get(REASONING) or "")


def _block_thought(block: dict[str, Any]) -> str:
    """Read a block of LangChain's, OpenAI's, Anthropic's or Bedrock's."""
    inner = block.get("reasoning_content")
    text = block.get("reasoning") or block.get("thinking")
    if isinstance(inner, dict):
        text = inner.get("text")
    if not text:
        text = "\n\n".join(str(part.get("text", "")) for part in block.get("summary") or ())
    return str(text)


def _written(call: InvalidToolCall) -> str:
    name, arguments = call["name"], call["args"] or ""
    return arguments if name is None or name in arguments else f"{name} {arguments}"
