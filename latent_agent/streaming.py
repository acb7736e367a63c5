"""What is shown while an answer is not there yet: draft tokens as text, out of a thread."""

import contextvars
import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from transformers import PreTrainedTokenizerBase, TextStreamer

R = TypeVar("R")
T = TypeVar("T")


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


def in_background(
    work: Callable[[Callable[[T], None]], R], cancelled: threading.Event
) -> Generator[T, None, R]:
    """Do work in a thread, yielding what it hands out while it goes on.

    Args:
        work: Called with what takes the pieces that it hands out.
        cancelled: Set once nobody listens any more; the work must heed it.

    Returns:
        What the work returned.
    """
    pieces: queue.SimpleQueue[T | None] = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(contextvars.copy_context().run, work, pieces.put)
        done.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            cancelled.set()
        return done.result()


@contextmanager
def cancelling() -> Generator[threading.Event]:
    """Give an event that is set on the way out: what is still at work then is not wanted."""
    cancelled = threading.Event()
    try:
        yield cancelled
    finally:
        cancelled.set()
