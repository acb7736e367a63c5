"""An answer's ids as text and call markers.

A marker that is a token of its own counts as one only where that very token stands; the same
characters written in other tokens are text.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Piece:
    """A stretch of text, or a marker."""

    text: str
    marker: bool = False


def marker_ids(tokenizer: "PreTrainedTokenizerBase", markers: Sequence[str]) -> dict[int, str]:
    """Return those markers that are tokens of their own, by id."""
    names = {str(token): number for number, token in tokenizer.added_tokens_decoder.items()}
    return {names[marker]: marker for marker in markers if marker in names}


def split_answer(
    tokenizer: "PreTrainedTokenizerBase", tokens: Sequence[int], markers: Sequence[str]
) -> list[Piece]:
    """Split an answer's ids at markers; other special tokens are left out of the text."""
    own = marker_ids(tokenizer, markers)
    written = [marker for marker in markers if marker not in own.values()]
    pieces: list[Piece] = []
    stretch: list[int] = []
    for token in [*tokens, None]:
        if token is not None and token not in own:
            stretch.append(token)
            continue
        pieces += split_text(_decode(tokenizer, stretch), written)
        stretch = []
        if token is not None:
            pieces.append(Piece(own[token], marker=True))
    return pieces


def split_text(text: str, markers: Sequence[str]) -> list[Piece]:
    """Split a text at markers that are written in it."""
    if not markers:
        return [Piece(text)] if text else []
    pattern = "|".join(re.escape(marker) for marker in markers)
    parts = re.split(f"({pattern})", text)
    return [Piece(part, marker=part in markers) for part in parts if part]


def _decode(tokenizer: "PreTrainedTokenizerBase", ids: list[int]) -> str:
    text = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return str(text)
