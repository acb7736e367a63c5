"""A request's conversation and arguments, as the chat model takes them."""

import json
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call, tool_call

from latent_agent.server.depth import too_deep
from latent_agent.server.errors import ApiError
from latent_agent.server.requests import (
    ChatRequest,
    NamedTool,
    SchemaFormat,
    SentMessage,
    SentSchema,
    SentToolCall,
)

_SEEDS = 2**63


def messages_of(sent: Sequence[SentMessage]) -> list[BaseMessage]:
    """Return a conversation as LangChain's messages.

    Raises:
        ApiError: If a tool's result names no call.
    """
    return [_message(at, one) for at, one in enumerate(sent)]


def _message(at: int, sent: SentMessage) -> BaseMessage:
    content: Any = sent.content or ""
    named = {} if sent.name is None else {"name": sent.name}
    match sent.role:
        case "user":
            return HumanMessage(content, **named)
        case "system" | "developer":
            return SystemMessage(content, **named)
        case "assistant":
            calls, broken = _calls(sent.tool_calls or ())
            thought = sent.reasoning_content
            extra = {"reasoning_content": thought} if thought else {}
            return AIMessage(
                content, tool_calls=calls, invalid_tool_calls=broken, additional_kwargs=extra
            )
        case "tool":
            if sent.tool_call_id is None:
                raise ApiError(
                    400,
                    f"a tool's message must name the call that it answers, got none at message "
                    f"{at}; send its tool_call_id",
                    "invalid_value",
                    param=f"messages.{at}.tool_call_id",
                )
            return ToolMessage(content, tool_call_id=sent.tool_call_id, **named)


def _calls(sent: Sequence[SentToolCall]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Read calls back; what a limit cut off is shown to the model as it was written."""
    calls: list[ToolCall] = []
    broken: list[InvalidToolCall] = []
    for one in sent:
        name, source = one.function.name, one.function.arguments
        try:
            arguments: Any = json.loads(source or "{}")
        except (ValueError, RecursionError):
            arguments = None
        if isinstance(arguments, dict) and not too_deep(arguments):
            calls.append(tool_call(name=name, args=arguments, id=one.id))
        else:
            broken.append(invalid_tool_call(name=name, args=source, id=one.id, error="not JSON"))
    return calls, broken


def form_arguments(sent: ChatRequest) -> dict[str, Any]:
    """Return what a request says of its answers' form and of how they are drawn."""
    given: dict[str, Any] = {
        "n": sent.n or 1,
        "temperature": sent.temperature,
        "top_p": sent.top_p,
        "seed": None if sent.seed is None else sent.seed % _SEEDS,
        "parallel_tool_calls": sent.parallel_tool_calls,
    }
    if given["n"] > 1 and sent.temperature is None:
        given["temperature"] = 1.0  # OpenAI's default; greedy answers are all the same
    if sent.tools:
        given["tools"] = [_tool(one.model_dump(exclude_none=True)) for one in sent.tools]
    if sent.tool_choice is not None:
        choice = sent.tool_choice
        given["tool_choice"] = choice.model_dump() if isinstance(choice, NamedTool) else choice
    if isinstance(sent.response_format, SchemaFormat):
        given["response_format"] = _format(sent.response_format.json_schema)
    elif sent.response_format is not None:
        given["response_format"] = sent.response_format.model_dump()
    if sent.logprobs or sent.top_logprobs:
        given |= {"logprobs": bool(sent.logprobs), "top_logprobs": sent.top_logprobs}
    if sent.store is False:
        given["memory_mode"] = "read"
    return {name: value for name, value in given.items() if value is not None}


def _format(sent: SentSchema) -> dict[str, Any]:
    # These two mean nothing in a schema, but would make a tool of it.
    schema = {key: part for key, part in sent.schema_.items() if key not in ("name", "function")}
    return {
        "type": "json_schema",
        "json_schema": {"schema": schema, "strict": bool(sent.strict)},
    }


def _tool(spec: dict[str, Any]) -> dict[str, Any]:
    """A function without parameters takes none."""
    spec["function"].setdefault("parameters", {"type": "object", "properties": {}})
    return spec


def stop_of(sent: ChatRequest) -> list[str] | None:
    """Return the texts at which an answer ends."""
    return [sent.stop] if isinstance(sent.stop, str) else sent.stop
