"""Whether all that a chat template is given stands in the prompt that it renders.

Templates drop what they do not know: a role, the text beside a call, a system message. Marks in
the place of the texts show that. The texts themselves would not: a template may lawfully trim
them, escape them, or leave an earlier turn's thinking out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from latent_agent.model.thinking import split_thought
from latent_agent.tools.template import REFUSALS

Mark = Callable[[str], str]
Render = Callable[[Sequence[Mapping[str, Any]], Sequence[Mapping[str, Any]]], str]


def check_arrival(
    render: Render, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]
) -> None:
    """Render messages and tools of the same structure with marks for texts.

    Args:
        render: Renders a prompt.
        messages: As templates take them.
        tools: As templates take them.

    Raises:
        ValueError: If a message's text, a call or a tool is left out.
        Exception: Whatever the template raises.
    """
    marked: list[str] = []

    def mark(what: str) -> str:
        marked.append(what)
        return f"mark{len(marked)}mark"

    sent = [_message(message, number, mark) for number, message in enumerate(messages, 1)]
    rendered = render(sent, [_tool(tool, mark) for tool in tools]).lower()
    for number, what in enumerate(marked, 1):
        if f"mark{number}mark" not in rendered:
            raise ValueError(f"the template leaves out {what}")


def missing_header(render: Callable[[Sequence[Mapping[str, Any]], bool], str]) -> str:
    """Return what a prompt lacks if its template ignores ``add_generation_prompt``, else nothing.

    Args:
        render: Renders messages with a value of ``add_generation_prompt``.
    """
    asked = {"role": "user", "content": "Hello."}
    try:
        prompt = render([asked], True)
        if render([asked], False) != prompt:
            return ""
        answered = render([asked, {"role": "assistant", "content": "mark1mark"}], False)
    except REFUSALS:
        return ""
    header = answered.removeprefix(prompt).partition("mark1mark")[0]
    return header.rstrip(" ") if answered.startswith(prompt) and header.strip() else ""


def _message(message: Mapping[str, Any], number: int, mark: Mark) -> dict[str, Any]:
    role, content = message["role"], message["content"]
    what = f"message {number} ({role})"
    said = split_thought(content)[1] if role == "assistant" else content
    marked = {**message, "content": mark(what) if said.strip() else content}
    if "tool_calls" in message:
        marked["tool_calls"] = [
            {**call, "function": _call(call["function"], f"a call of {what}", mark)}
            for call in message["tool_calls"]
        ]
    return marked


def _tool(tool: Mapping[str, Any], mark: Mark) -> dict[str, Any]:
    function = tool["function"]
    return {**tool, "function": {**function, "name": mark(f"the tool {function['name']!r}")}}


def _call(function: Mapping[str, Any], what: str, mark: Mark) -> dict[str, Any]:
    return {"name": mark(what), "arguments": _marked(function["arguments"], what, mark)}


def _marked(value: Any, what: str, mark: Mark) -> Any:
    """Put marks for every text in a value of the kind that JSON knows, keys included."""
    if isinstance(value, str):
        return mark(what)
    if isinstance(value, Mapping):
        return {mark(what): _marked(part, what, mark) for part in value.values()}
    if isinstance(value, (list, tuple)):
        return [_marked(part, what, mark) for part in value]
    return value
