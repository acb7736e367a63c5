"""Special tokens in a message's text are plain text: writing one ends no turn."""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from latent_agent.errors import PromptError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SPACES = " \u2581"  # what SentencePiece's normalisers put in front of a text


class Escaping:
    """Keeps special tokens that stand in a message's text from being read as special.

    Each one is replaced by a placeholder character before the template is rendered, and encoded
    afterwards in parts, none of which is special. All other text goes through the tokenizer as one
    piece with the template around it, so that a harmless message gets the very ids of
    ``apply_chat_template``. (``split_special_tokens=True`` would destroy the template's tokens.)

    Added tokens with ``normalized=True`` are looked for in the normalised text: after NFKC ``<s>``
    may have been written in full-width brackets, in lower case it may have been ``<S>``. So texts
    that normalise to such a token are escaped too. Slow tokenizers do not normalise.

    Args:
        tokenizer: Knows what is special.
        texts: All that will be escaped.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", texts: Iterable[str]) -> None:
        self._tokenizer = tokenizer
        added: dict[int, Any] = tokenizer.added_tokens_decoder
        self._added = frozenset(added)
        names = {str(token) for token in added.values()} | set(tokenizer.all_special_tokens)
        longest_first = sorted((name for name in names if name.strip()), key=len, reverse=True)
        used = {character for text in texts for character in text}
        self._free = (chr(code) for code in range(0xF0000, 0x10FFFE) if chr(code) not in used)
        self._escaped: dict[str, str] = {}  # text by placeholder
        self._names = {name: self._placeholder(name) for name in longest_first}
        backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        self._normaliser: Any = getattr(backend, "normalizer", None)
        forms: set[str] = set()
        if self._normaliser is not None:
            normal = [str(token) for token in added.values() if token.normalized]
            forms = {self._normalised(name).normalized.strip(_SPACES) for name in normal}
        self._forms = sorted(forms - {""}, key=len, reverse=True)

    def escape(self, text: str) -> str:
        """Replace each special token in a text by a character that no template touches.

        Raises:
            PromptError: If that cannot be done.
        """
        for name, character in self._names.items():
            text = text.replace(name, character)
        while lookalikes := self._lookalikes(text):
            if lookalikes & {"", *self._escaped}:
                raise PromptError(
                    "a message must hold no special token, but this tokenizer's normaliser makes "
                    f"one of nothing, got {text[:60]!r}; choose a model with another tokenizer"
                )
            for lookalike in sorted(lookalikes, key=len, reverse=True):
                text = text.replace(lookalike, self._placeholder(lookalike))
        return text

    def _placeholder(self, text: str) -> str:
        character = next(self._free, None)
        if character is None:
            raise PromptError(
                "messages must leave some private-use characters unused, got all of U+F0000 to "
                "U+10FFFD; drop some"
            )
        self._escaped[character] = "".join(self._escaped.get(part, part) for part in text)
        return character

    def _lookalikes(self, text: str) -> set[str]:
        """Return the parts of a text that normalise to one added token; {}: there are none."""
        normalised = self._normalised(text) if self._forms else None
        for form in self._forms:
            if normalised is not None and form in normalised.normalized:
                parts = normalised.split(form, "isolated")
                return {part.original for part in parts if part.normalized == form}
        return set()

    def _normalised(self, text: str) -> Any:
        from tokenizers import NormalizedString

        normalised = NormalizedString(text)
        self._normaliser.normalize(normalised)
        return normalised

    def encode(self, rendered: str, *, add_special_tokens: bool) -> list[int]:
        """Encode a rendered prompt; what was escaped becomes plain text."""
        placeholders = "".join(self._escaped) or "\U000f0000"
        first, *rest = re.split(f"([{placeholders}])", rendered)
        # Not verbose: whether a prompt fits is checked elsewhere, and what is counted need not.
        ids: list[int] = self._tokenizer.encode(
            first, add_special_tokens=add_special_tokens, verbose=False
        )
        for part in rest:
            if part in self._escaped:
                ids += self._as_plain(self._escaped[part])
            else:
                ids += self._tokenizer.encode(part, add_special_tokens=False, verbose=False)
        return ids

    def _as_plain(self, text: str) -> list[int]:
        """Encode a text in parts, none of which is an added token itself."""
        ids = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if len(text) == 1 or not self._added.intersection(ids):
            return ids
        return self._as_plain(text[:1]) + self._as_plain(text[1:])
