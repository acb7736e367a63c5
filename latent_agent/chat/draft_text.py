"""A draft as text while it is made."""

import threading
from collections.abc import Callable, Generator
from typing import TypeVar

import torch
from langchain_core.messages import AIMessageChunk
from transformers import PreTrainedTokenizerBase, TextStreamer

from latent_agent.chat.threads import in_background
from latent_agent.chat.to_langchain import draft_chunk

R = TypeVar("R")


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


def drafting(
    answer: Callable[[Callable[[int], None]], R],
    tokenizer: PreTrainedTokenizerBase,
    cancelled: threading.Event,
) -> Generator[AIMessageChunk, None, R]:
    """Yield the draft in chunks while ``answer`` works, which takes what is given its tokens."""

    def work(emit: Callable[[AIMessageChunk], None]) -> R:
        words = DraftText(tokenizer, lambda text: emit(draft_chunk(text)))
        answered = answer(words.token)
        words.end()
        return answered

    return (yield from in_background(work, cancelled))
