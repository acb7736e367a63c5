"""What a tokenizer that normalises its text takes for an added token, though it is none."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_SPACES = " \u2581"  # what SentencePiece's normalisers put in front of a text


class Lookalikes:
    """Finds the parts of a text that normalisation turns into the name of an added token.

    Added tokens with ``normalized=True`` are looked for in the normalised text: after NFKC
    ``<s>`` may have been written in full-width brackets, in lower case it may have been ``<S>``.

    Args:
        tokenizer: A slow one looks for its tokens in the text as it is: nothing is found then.
    """

    def __init__(self, tokenizer: "PreTrainedTokenizerBase") -> None:
        backend: Any = getattr(tokenizer, "backend_tokenizer", None)
        self._normaliser: Any = getattr(backend, "normalizer", None)
        names = [
            str(added) for added in tokenizer.added_tokens_decoder.values() if added.normalized
        ]
        forms = {self._normalised(name).normalized.strip(_SPACES) for name in names}
        self._forms = sorted(forms - {""}, key=len, reverse=True)

    def within(self, text: str) -> set[str]:
        """Return such parts, all that are of one token; ask again once they are gone."""
        if self._normaliser is None or not self._forms:
            return set()
        normalised = self._normalised(text)
        for form in self._forms:
            if form in normalised.normalized:
                parts = normalised.split(form, "isolated")
                return {part.original for part in parts if part.normalized == form}
        return set()

    def _normalised(self, text: str) -> Any:
        from tokenizers import NormalizedString

        made = NormalizedString(text)
        if self._normaliser is not None:
            self._normaliser.normalize(made)
        return made
