"""Bare calls: JSON without any marker around it.

Models that were trained on markers write calls so too, coders above all, and often in a code
fence. Where a template knows no tools, forced calls have no other form.
"""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from latent_agent.tools.call import Tool, ToolCall, call_from, calls_from, json_values
from latent_agent.tools.formats import CallFormat
from latent_agent.tools.pieces import Piece
from latent_agent.tools.schema import misfit

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_KEYS = ("arguments", "parameters")


def bare_calls(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
    """Return the calls that a text is: objects or lists of them, bare or in code fences.

    Empty if any part of the text is something else, or a call that fits no tool.
    """
    fenced = [match[1] for match in _FENCE.finditer(text)]
    if fenced and not _FENCE.sub("", text).strip():
        text = "\n".join(fenced)
    known = {tool.name: tool for tool in tools}
    try:
        values = [value for _, value in json_values(text)]
    except ValueError:
        return []
    parts = [part for value in values for part in (value if isinstance(value, list) else [value])]
    calls = [_call(part, known) for part in parts]
    return [] if None in calls else [call for call in calls if call]


def _call(value: Any, known: Mapping[str, Tool]) -> ToolCall | None:
    """Return the call that a value is: a name, arguments that fit, and nothing else."""
    key = next((key for key in _KEYS if isinstance(value, dict) and key in value), None)
    if key is None or value.keys() != {"name", key}:
        return None
    call = call_from(json.dumps(value, ensure_ascii=False), value, key)
    tool = known.get(call.name or "")
    if tool is None or call.malformed is not None:
        return None
    return call if misfit(call.arguments, tool.parameters) is None else None


def _read(pieces: Sequence[Piece], names: frozenset[str]) -> tuple[str, list[ToolCall]]:  # noqa: ARG001
    return "", calls_from("".join(piece.text for piece in pieces), "arguments")


def _written(name: str) -> tuple[str, str]:
    return f'{{"name": {json.dumps(name)}, "arguments": ', "}"


BARE = CallFormat(name="bare JSON", markers=(), signs=(), read=_read, call=_written)
"""For forced calls: nothing else can be told from a call's absence."""
