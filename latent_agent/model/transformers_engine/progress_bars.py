"""The libraries' own progress bars, which commands show one line instead of."""

from collections.abc import Callable, Generator
from contextlib import contextmanager

from latent_memory.fork_renewal import ForkSafeLock

_lock = ForkSafeLock()
_inside: list[Callable[[], None]] = []  # what ends each time; only the first knows how it was


@contextmanager
def without_bars() -> Generator[None]:
    """Show none within, in any thread; they are as they were when the last one leaves."""
    with _lock:
        _inside.append(_hidden() if not _inside else _inside[0])
    try:
        yield
    finally:
        with _lock:
            restore = _inside.pop()
            if not _inside:
                restore()


def _hidden() -> Callable[[], None]:
    """Hide them; return what brings back those that were shown."""
    from huggingface_hub.utils import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers import modeling_gguf_pytorch_utils as unpacking
    from transformers.utils import logging

    unpacking.tqdm = logging.tqdm  # the one bar that does not heed transformers' own switch
    loading, downloads = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.disable_progress_bar()  # both kinds

    def restore() -> None:
        if loading:
            logging.enable_progress_bar()  # both kinds
        if downloads and not loading:
            enable_progress_bars()
        if loading and not downloads:
            disable_progress_bars()

    return restore
