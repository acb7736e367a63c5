"""One talk to learn from: messages, the tools on offer, and the reply in parts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
Schema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a reply. What a grammar would write, or nobody could know, is not learnt."""

    text: str
    is_learnt: bool = True


@dataclass(frozen=True, slots=True)
class Call:
    """One use of a tool: its name, and its arguments in the schema's order."""

    name: str
    arguments: Mapping[str, Any]

    def __str__(self) -> str:
        """Render the call as the chat template does."""
        call = as_json({"name": self.name, "arguments": self.arguments})
        return f"<tool_call>\n{call}\n</tool_call>"

    def message(self) -> Message:
        """The assistant's message that makes this call."""
        function = {"name": self.name, "arguments": dict(self.arguments)}
        return {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"type": "function", "function": function}],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Talk:
    """A talk up to the assistant's turn, and what the assistant says then.

    Attributes:
        kind: Name of the kind of talk.
        messages: As `apply_chat_template` takes them.
        reply: What follows, in parts.
        tools: Function schemas in OpenAI's form.
        call: The call that the reply makes, if it makes one.
        truth: The words that make the reply a right one, if a judge may be asked.
    """

    kind: str
    messages: tuple[Message, ...]
    reply: tuple[Part, ...]
    tools: tuple[Schema, ...] = ()
    call: Call | None = None
    truth: str = ""

    @property
    def text(self) -> str:
        """The whole reply."""
        return "".join(part.text for part in self.reply)


def as_json(value: Any) -> str:
    """Write JSON as the chat template does: any script as it is."""
    return json.dumps(value, ensure_ascii=False)


def user(text: str) -> Message:
    """A message of the user."""
    return {"role": "user", "content": text}


def assistant(text: str) -> Message:
    """A message of the assistant."""
    return {"role": "assistant", "content": text}


def schema(name: str, description: str, parameters: Mapping[str, str]) -> Schema:
    """Describe a tool in OpenAI's form: each parameter's name to its JSON type."""
    properties = {parameter: {"type": kind} for parameter, kind in parameters.items()}
    return {
        "type": "function",
        "function": {
            "name": name,
            "description": description,
            "parameters": {
                "type": "object",
                "properties": properties,
                "required": list(parameters),
            },
        },
    }


def plain(kind: str, messages: Sequence[Message], reply: str, truth: str = "") -> Talk:
    """A talk whose reply is plain text."""
    return Talk(kind=kind, messages=tuple(messages), reply=(Part(reply),), truth=truth)
