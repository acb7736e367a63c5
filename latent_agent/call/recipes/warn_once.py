"""Warnings that each process draws once."""

import warnings

from latent_memory.fork_renewal import ForkSafeLock

_warned = set[str]()
_lock = ForkSafeLock()


def warn_once(text: str) -> None:
    """Warn, unless the same was said before, whoever calls."""
    with _lock:
        if text in _warned:
            return
        _warned.add(text)
    warnings.warn(text, stacklevel=2)
