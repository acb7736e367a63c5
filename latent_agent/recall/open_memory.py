"""Memories that all who name the same place share."""

import warnings
from collections import defaultdict
from pathlib import Path
from typing import Literal

from sqlalchemy import URL

from latent_agent.errors import SettingError
from latent_memory import LatentMemory, LocationError, default_location
from latent_memory.fork_renewal import ForkSafeLock
from latent_memory.locations import locate

Mode = Literal["read-write", "read", "write"]

_open: dict[tuple[Path | URL, Mode], LatentMemory] = {}
_locks: defaultdict[tuple[Path | URL, Mode], ForkSafeLock] = defaultdict(ForkSafeLock)
_lock = ForkSafeLock()


def open_memory(memory: object, mode: Mode) -> LatentMemory | None:
    """Return the memory that a chat model names; None: it keeps none.

    Raises:
        LatentMemoryError: If it cannot be opened where it is said to be. Where nothing was said
            (``default``), a warning is drawn instead.
        SettingError: If it is no place for a memory.
    """
    if memory is None or isinstance(memory, LatentMemory):
        return memory
    if not isinstance(memory, (str, Path, URL)):
        raise SettingError(
            "memory must be 'default', None, a path, a URL or a LatentMemory, got "
            f"{memory!r}; for example memory='answers.sqlite3'"
        )
    if memory != "default":
        return _shared(memory, mode)
    try:
        return _shared(default_location(), mode)
    except LocationError as failure:
        warnings.warn(f"nothing is remembered: {failure}", stacklevel=2)
        return None


def _shared(location: str | Path | URL, mode: Mode) -> LatentMemory:
    key = (locate(location), mode)
    with _lock:
        opening = _locks[key]
    with opening:  # a server that does not answer keeps nobody from another memory
        if key not in _open:
            _open[key] = LatentMemory(key[0], mode=mode)
        return _open[key]
