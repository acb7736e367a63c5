"""Bare calls: JSON without any marker around it.

Models that were trained on markers write calls so too, coders above all, and often in a code
fence. Where a template knows no tools, forced calls have no other form.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from latent_agent.tools.call import Tool, ToolCall, call_from, calls_from, json_values
from latent_agent.tools.formats import CallFormat
from latent_agent.tools.pieces import Piece
from latent_agent.tools.schema import misfit

_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)\n?[ \t]*```", re.DOTALL)
_KEYS = ("arguments", "parameters")


def bare_calls(text: str, tools: Sequence[Tool]) -> list[ToolCall]:
    """Return the calls that a text is: objects or lists of them, bare or in code fences.

    None if any part of it is something else, such as JSON that was asked for, or fits no tool.
    """
    fenced = [match[1] for match in _FENCE.finditer(text)]
    if fenced and not _FENCE.sub("", text).strip():
        text = "\n".join(fenced)
    known = {tool.name: tool for tool in tools}
    calls: list[ToolCall] = []
    try:
        for _, value in json_values(text):
            for part in value if isinstance(value, list) else [value]:
                call = _call(part)
                if call is None or call.name not in known:
                    return []
                if misfit(call.arguments, known[call.name].parameters) is not None:
                    return []
                calls.append(call)
    except ValueError:
        return []
    return calls


def _call(value: Any) -> ToolCall | None:
    """Return the call that a JSON value is: a name, arguments and nothing else."""
    for key in _KEYS:
        if isinstance(value, dict) and value.keys() == {"name", key}:
            call = call_from(json.dumps(value, ensure_ascii=False), value, key)
            return call if call.malformed is None else None
    return None


def _read(pieces: Sequence[Piece], names: frozenset[str]) -> tuple[str, list[ToolCall]]:  # noqa: ARG001
    return "", calls_from("".join(piece.text for piece in pieces), "arguments")


def _written(name: str) -> tuple[str, str]:
    return f'{{"name": {json.dumps(name)}, "arguments": ', "}"


BARE = CallFormat(name="bare JSON", markers=(), signs=(), read=_read, call=_written)
"""For forced calls: nothing else can be told from a call's absence."""
