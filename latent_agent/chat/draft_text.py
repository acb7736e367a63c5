"""A draft as text while it is made."""

from collections.abc import Callable

import torch
from transformers import PreTrainedTokenizerBase, TextStreamer


class DraftText(TextStreamer):
    """Draft tokens in, whole words out: no character is ever torn."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, emit: Callable[[str], None]) -> None:
        super().__init__(tokenizer, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        self._emit = emit

    def token(self, token: int) -> None:
        """Take one token."""
        self.put(torch.tensor([token]))

    def on_finalized_text(self, text: str, stream_end: bool = False) -> None:  # noqa: ARG002
        """Pass on what will not change any more."""
        if text:
            self._emit(text)
