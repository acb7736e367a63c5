"""Tool calls and tools as plain values; nothing of LangChain."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A tool call: one that an answer made, or one of an earlier turn.

    Attributes:
        name: The tool's name; None if it cannot be read.
        arguments: By name; empty if the call is malformed.
        id: What its result refers to; empty until the answer is returned.
        source: How it was written, its marker included.
        malformed: Why it is no call at all; None: it is one.
        misfit: Why it does not fit the tools at hand; None: it does.
    """

    name: str | None
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    id: str = ""
    source: str = ""
    malformed: str | None = None
    misfit: str | None = None

    @property
    def valid(self) -> bool:
        """Whether a tool at hand can be called with it."""
        return self.malformed is None and self.misfit is None

    @property
    def text(self) -> str:
        """The call as a transcript shows it."""
        return json.dumps(
            {"name": self.name, "arguments": dict(self.arguments)}, ensure_ascii=False
        )


@dataclass(frozen=True, kw_only=True)
class Tool:
    """A tool at hand.

    Attributes:
        name: Its name.
        spec: As chat templates take it: ``{"type": "function", "function": {...}}``.
    """

    name: str
    spec: Mapping[str, Any]

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The JSON schema of its arguments; one without parameters takes none."""
        return self.spec["function"].get("parameters") or {"type": "object", "properties": {}}

    @property
    def strict(self) -> bool:
        """Whether a schema that the grammar cannot express in full is refused."""
        return bool(self.spec["function"].get("strict"))


def read_call(source: str, written: str, arguments: str) -> ToolCall:
    """Read a call from its JSON object.

    Args:
        source: How it was written, for the record.
        written: The JSON text.
        arguments: The key of the arguments in this format.
    """
    try:
        value: Any = json.loads(written, strict=False)
    except ValueError as error:
        return ToolCall(name=None, source=source, malformed=f"not JSON: {error}")
    return call_from(source, value, arguments)


def json_values(text: str) -> Iterator[tuple[str, Any]]:
    """Yield one JSON value after another as it is written and decoded, ``;`` or blanks between.

    Raises:
        ValueError: If what comes next is none.
    """
    decoder = json.JSONDecoder(strict=False)
    at = 0
    while (at := len(text) - len(text[at:].lstrip("; \t\r\n"))) < len(text):
        try:
            value, end = decoder.raw_decode(text, at)
        except RecursionError as error:
            raise ValueError("nested too deep") from error
        yield text[at:end], value
        at = end


def calls_from(text: str, key: str, opening: str = "") -> list[ToolCall]:
    """Read calls written one after another; what is no JSON is a malformed call, the last.

    Args:
        text: Nothing but calls.
        key: That of the arguments.
        opening: The marker before the text, for the record.
    """
    calls: list[ToolCall] = []
    rest = text
    try:
        for source, value in json_values(text):
            calls.append(call_from(opening + source, value, key))
            rest = rest.partition(source)[2]
    except ValueError as error:
        source = opening + rest.lstrip("; \t\r\n")
        calls.append(ToolCall(name=None, source=source, malformed=f"not JSON: {error}"))
    return calls


def call_from(source: str, value: Any, key: str) -> ToolCall:
    """Make a call of a decoded JSON value; arguments may be an object, or its JSON as a string."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return ToolCall(name=None, source=source, malformed="a call must be an object with a name")
    name: str = value["name"]
    arguments: Any = value.get(key, value.get("arguments", {}))
    try:
        decoded = json.loads(arguments) if isinstance(arguments, str) else arguments
    except ValueError as error:
        return ToolCall(name=name, source=source, malformed=f"arguments are not JSON: {error}")
    if not isinstance(decoded, dict):
        return ToolCall(name=name, source=source, malformed=f"{key} must be an object")
    return ToolCall(name=name, arguments=decoded, source=source)


def calls_text(calls: Sequence[ToolCall]) -> str:
    """Return calls as text, one a line, for judges and for templates that know none."""
    return "\n".join(call.text for call in calls)
