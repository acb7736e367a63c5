"""Llama 3: a bare JSON object with ``parameters``, ``<|python_tag|>`` before it or not."""

import json
from collections.abc import Sequence
from json import JSONDecodeError, JSONDecoder

from latent_agent.tools.call import ToolCall, call_from
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
        return outside, objects(tagged)
    if not outside.lstrip().startswith("{"):
        return outside, []
    calls = objects(outside)
    meant = all(call.malformed is None and call.name in names for call in calls)
    begun = any(outside.lstrip().startswith(f'{{"name": {json.dumps(name)}') for name in names)
    return ("", calls) if meant or begun else (outside, [])


def objects(text: str) -> list[ToolCall]:
    """Read one JSON object after another, with ``;`` or blanks between them."""
    calls: list[ToolCall] = []
    at = 0
    while (at := len(text) - len(text[at:].lstrip("; \t\r\n"))) < len(text):
        try:
            value, end = JSONDecoder(strict=False).raw_decode(text, at)
        except (JSONDecodeError, ValueError) as error:
            source = f"{TAG}{text[at:]}"
            return [*calls, ToolCall(name=None, source=source, malformed=f"not JSON: {error}")]
        calls.append(call_from(f"{TAG}{text[at:end]}", value, "parameters"))
        at = end
    return calls


def _call(name: str) -> tuple[str, str]:
    return f'{{"name": {json.dumps(name)}, "parameters": ', "}"


LLAMA = CallFormat(
    name="Llama 3", markers=(TAG,), signs=('"parameters":',), read=read, call=_call, between="; "
)
