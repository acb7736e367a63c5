"""Work in another thread: its pieces while it goes on, and its end once it is not wanted."""

import contextvars
import os
import queue
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from latent_agent.errors import LatentAgentError

R = TypeVar("R")
T = TypeVar("T")


def in_background(
    work: Callable[[Callable[[T], None]], R], cancelled: threading.Event
) -> Generator[T, None, R]:
    """Do work in a thread, yielding what it hands out while it goes on.

    Args:
        work: Called with what takes the pieces that it hands out.
        cancelled: Set once nobody listens any more; the work must heed it.

    Returns:
        What the work returned.

    Raises:
        LatentAgentError: In a child that was forked meanwhile.
    """
    process = os.getpid()
    pieces: queue.SimpleQueue[T | None] = queue.SimpleQueue()
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(contextvars.copy_context().run, work, pieces.put)
        done.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
                if os.getpid() != process:  # the thread stayed in the parent
                    raise LatentAgentError(
                        f"a stream must be read by the process that began it, {process}, got "
                        f"process {os.getpid()}, which was forked meanwhile; ask again there"
                    )
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
