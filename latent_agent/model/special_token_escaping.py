"""Special tokens in what people write are plain text: whoever writes one ends no turn."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from latent_agent.errors import PromptError
from latent_agent.model.normalised_tokens import Lookalikes

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Shield:
    """Keeps special tokens that stand in a message's text from being read as special.

    Each one is covered by a marker before the template is rendered, and encoded afterwards in
    parts, none of which is special. All other text goes through the tokenizer as one piece with
    the template around it, so that a harmless message gets the very ids of ``apply_chat_template``.
    (``split_special_tokens=True`` would destroy the template's own tokens.)

    Args:
        tokenizer: Knows what is special.
        texts: All that will be covered.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", texts: Iterable[str]) -> None:
        self._tokenizer = tokenizer
        added: dict[int, Any] = tokenizer.added_tokens_decoder
        self._added = frozenset(added)
        names = {str(token) for token in added.values()} | set(tokenizer.all_special_tokens)
        longest_first = sorted((name for name in names if name.strip()), key=len, reverse=True)
        used = {character for text in texts for character in text}
        self._free = (chr(code) for code in range(0xF0000, 0x10FFFE) if chr(code) not in used)
        self._covers: dict[str, str] = {}
        self._names = {name: self._cover_for(name) for name in longest_first}
        self._lookalikes = Lookalikes(tokenizer)

    def cover(self, text: str) -> str:
        """Replace each special token in a text by a character that no template touches.

        Raises:
            PromptError: If that cannot be done.
        """
        for name, character in self._names.items():
            text = text.replace(name, character)
        while found := self._lookalikes.within(text):
            if found & {"", *self._covers}:
                raise PromptError(
                    "a message must hold no special token, but this tokenizer's normaliser makes "
                    f"one of nothing, got {text[:60]!r}; choose a model with another tokenizer"
                )
            for lookalike in sorted(found, key=len, reverse=True):
                text = text.replace(lookalike, self._cover_for(lookalike))
        return text

    def _cover_for(self, text: str) -> str:
        character = next(self._free, None)
        if character is None:
            raise PromptError(
                "messages must leave some private-use characters unused, got all of U+F0000 to "
                "U+10FFFD; drop some"
            )
        self._covers[character] = "".join(self._covers.get(part, part) for part in text)
        return character

    def cover_all(self, value: Any) -> Any:
        """Cover every text in a value of the kind that JSON knows, keys included."""
        if isinstance(value, str):
            return self.cover(value)
        if isinstance(value, Mapping):
            return {self.cover(str(key)): self.cover_all(part) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.cover_all(part) for part in value]
        return value

    def encode(self, rendered: str, *, add_special_tokens: bool) -> list[int]:
        """Encode a rendered prompt; what is covered becomes plain text."""
        covers = "".join(self._covers) or "\U000f0000"
        first, *rest = re.split(f"([{covers}])", rendered)
        # Not verbose: whether a prompt fits is checked elsewhere, and what is counted need not.
        ids: list[int] = self._tokenizer.encode(
            first, add_special_tokens=add_special_tokens, verbose=False
        )
        for part in rest:
            if part in self._covers:
                ids += self._as_plain(self._covers[part])
            else:
                ids += self._tokenizer.encode(part, add_special_tokens=False, verbose=False)
        return ids

    def _as_plain(self, text: str) -> list[int]:
        """Encode what is covered in parts, none of which is an added token itself."""
        ids = self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
        if len(text) == 1 or not self._added.intersection(ids):
            return ids
        return self._as_plain(text[:1]) + self._as_plain(text[1:])


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a value of the kind that JSON knows."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield str(key)
            yield from texts_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from texts_in(part)
