"""Mistral: ``[TOOL_CALLS]`` before a JSON list, or (later) before each name with ``[ARGS]``."""

import json
from collections.abc import Sequence
from typing import Any

from latent_agent.tools.call import ToolCall, call_from
from latent_agent.tools.formats import CallFormat
from latent_agent.tools.pieces import Piece

MARKER, ID, ARGS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"


def read(pieces: Sequence[Piece], names: frozenset[str]) -> tuple[str, list[ToolCall]]:  # noqa: ARG001
    """Read both forms."""
    outside: list[str] = []
    groups: list[list[str]] = []
    for piece in pieces:
        if piece.marker and piece.text == MARKER:
            groups.append([])
        elif groups:
            groups[-1].append(piece.text)
        else:
            outside.append(piece.text)
    return "".join(outside), [call for group in groups for call in _calls(group)]


def _calls(group: Sequence[str]) -> list[ToolCall]:
    """Read what follows one marker."""
    text = "".join(group)
    if ARGS in group:
        at = group.index(ARGS)
        return [_named("".join(group[:at]).split(ID)[0], "".join(group[at + 1 :]), text)]
    if "{" in text and not text.lstrip().startswith(("[", "{")):
        name, brace, rest = text.partition("{")
        return [_named(name, brace + rest, text)]
    return _listed(text)


def _named(name: str, arguments: str, text: str) -> ToolCall:
    return call_from(f"{MARKER}{text}", {"name": name.strip(), "arguments": arguments}, "arguments")


def _listed(text: str) -> list[ToolCall]:
    source = f"{MARKER}{text}"
    try:
        # Some end a list with other text after it: the list is what counts.
        value, _ = json.JSONDecoder(strict=False).raw_decode(text.lstrip())
    except ValueError as error:
        return [ToolCall(name=None, source=source, malformed=f"not JSON: {error}")]
    listed: list[Any] = value if isinstance(value, list) else [value]
    return [call_from(f"{MARKER}{json.dumps(one)}", one, "arguments") for one in listed]


def _item(name: str) -> tuple[str, str]:
    return f'{{"name": {json.dumps(name)}, "arguments": ', "}"


def _argued(name: str) -> tuple[str, str]:
    return f"{MARKER}{name}{ARGS}", ""


# The later form first: it holds the earlier one's marker too.
MISTRAL_ARGS = CallFormat(
    name="Mistral, later", markers=(MARKER, ID, ARGS), signs=(MARKER, ARGS), read=read,
    call=_argued, between="",
)  # fmt: skip
MISTRAL = CallFormat(
    name="Mistral", markers=(MARKER, ID, ARGS), signs=(MARKER,), read=read,
    opening=f"{MARKER}[", between=", ", closing="]", call=_item,
)  # fmt: skip
