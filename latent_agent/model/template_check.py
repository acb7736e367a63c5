"""Whether all that a chat template is given stands in the prompt that it renders.

Templates drop what they do not know: a role, the text beside a call, a system message. Marks in
the place of the texts show that. The texts themselves would not: a template may lawfully trim
them, escape them, or leave an earlier turn's thinking out.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from latent_agent.model.conversation import map_texts
from latent_agent.model.thinking import split_thought
from latent_agent.tools.template import REFUSALS

Message = Mapping[str, Any]


def check_rendering(
    render: Callable[[Sequence[Message], Sequence[Message]], str],
    messages: Sequence[Message],
    tools: Sequence[Message],
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

    sent = [_marked_message(message, number, mark) for number, message in enumerate(messages, 1)]
    functions = [tool["function"] for tool in tools]
    known = [{**each, "name": mark(f"the tool {each['name']!r}")} for each in functions]
    specs = [{**tool, "function": each} for tool, each in zip(tools, known, strict=True)]
    rendered = render(sent, specs).lower()
    for number, what in enumerate(marked, 1):
        if f"mark{number}mark" not in rendered:
            raise ValueError(f"the template leaves out {what}")


def missing_header(render: Callable[[Sequence[Message], bool], str]) -> str:
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


def _marked_message(message: Message, number: int, mark: Callable[[str], str]) -> Message:
    role, content = message["role"], message["content"]
    what = f"message {number} ({role})"
    said = split_thought(content)[1] if role == "assistant" else content
    marked = {**message, "content": mark(what) if said.strip() else content}
    if "tool_calls" in message:
        marked["tool_calls"] = [
            {
                **call,
                "function": {
                    "name": mark(f"a call of {what}"),
                    "arguments": map_texts(
                        call["function"]["arguments"], lambda _: mark(f"a call of {what}")
                    ),
                },
            }
            for call in message["tool_calls"]
        ]
    return marked
