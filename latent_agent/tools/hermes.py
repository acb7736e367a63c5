"""Hermes and Qwen: ``<tool_call>`` around each call's JSON."""

import json
from collections.abc import Sequence

from latent_agent.tools.call import ToolCall, read_call
from latent_agent.tools.formats import CallFormat
from latent_agent.tools.pieces import Piece

OPEN, CLOSE = "<tool_call>", "</tool_call>"


def read(pieces: Sequence[Piece], names: frozenset[str]) -> tuple[str, list[ToolCall]]:  # noqa: ARG001
    """Read calls; one that the answer's end cuts off from its closing marker counts too."""
    outside: list[str] = []
    calls: list[ToolCall] = []
    within = False
    for at, piece in enumerate(pieces):
        if piece.marker:
            within = piece.text == OPEN
            if within and (at + 1 == len(pieces) or pieces[at + 1].marker):
                calls.append(read_call(OPEN, "", "arguments"))
        elif within:
            calls.append(read_call(f"{OPEN}{piece.text}{CLOSE}", piece.text, "arguments"))
        else:
            outside.append(piece.text)
    return "".join(outside), calls


def _call(name: str) -> tuple[str, str]:
    return f'{OPEN}\n{{"name": {json.dumps(name)}, "arguments": ', f"}}\n{CLOSE}"


HERMES = CallFormat(
    name="Hermes", markers=(OPEN, CLOSE), signs=(OPEN,), read=read, call=_call, between="\n"
)
