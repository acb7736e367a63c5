"""An answer's ids as text and call markers.

A marker that is a token of its own counts as one only where that very token stands; the same
characters written in other tokens are text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Piece:
    """A stretch of text, or a marker."""

    text: str
    marker: bool = False


def marker_ids(tokenizer: "PreTrainedTokenizerBase", markers: Sequence[str]) -> dict[str, int]:
    """Return the ids of those markers that are tokens of their own."""
    ids = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    return {marker: ids[marker] for marker in markers if marker in ids}


def split_answer(
    tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int], markers: Sequence[str]
) -> list[Piece]:
    """Split an answer's ids at markers; other special tokens are left out of the text."""
    own = {number: marker for marker, number in marker_ids(tokenizer, markers).items()}
    written = [marker for marker in markers if marker not in own.values()]
    pieces: list[Piece] = []
    for marker, stretch in groupby(tokens, own.get):
        if marker is not None:
            pieces += [Piece(marker, marker=True) for _ in stretch]
            continue
        text: Any = tokenizer.decode(
            list(stretch), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        pieces += split_text(text, written)
    return pieces


def split_text(text: str, markers: Sequence[str]) -> list[Piece]:
    """Split a text at markers that are written in it."""
    if not markers:
        return [Piece(text)] if text else []
    pattern = "|".join(re.escape(marker) for marker in markers)
    parts = re.split(f"({pattern})", text)
    return [Piece(part, marker=part in markers) for part in parts if part]
