"""Llama 3: a bare JSON object with ``parameters``, ``<|python_tag|>`` before it or not."""

import json
from collections.abc import Sequence

from latent_agent.tools.call import ToolCall, calls_from
from latent_agent.tools.formats import CallFormat
from latent_agent.tools.pieces import Piece

TAG = "<|python_tag|>"


def read(pieces: Sequence[Piece], names: frozenset[str]) -> tuple[str, list[ToolCall]]:
    """Read calls: what the tag opens, or an answer that as a whole is calls of known tools."""
    tag = next((at for at, piece in enumerate(pieces) if piece.marker), len(pieces))
    outside, tagged = (
        "".join(piece.text for piece in part if not piece.marker)
        for part in (pieces[:tag], pieces[tag:])
    )
    if tagged:
        return outside, calls_from(tagged, "parameters", TAG)
    if not outside.lstrip().startswith("{"):
        return outside, []
    calls = calls_from(outside, "parameters", TAG)
    meant = all(call.malformed is None and call.name in names for call in calls)
    begun = any(outside.lstrip().startswith(f'{{"name": {json.dumps(name)}') for name in names)
    return ("", calls) if meant or begun else (outside, [])


def _call(name: str) -> tuple[str, str]:
    return f'{{"name": {json.dumps(name)}, "parameters": ', "}"


LLAMA = CallFormat(
    name="Llama 3", markers=(TAG,), signs=('"parameters":',), read=read, call=_call, between="; "
)
