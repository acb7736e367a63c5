"""One thread of a process writes at a time, before the process waits for others."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from latent_memory.errors import StorageError


@contextmanager
def first_of_ours(writer: Lock, place: Path | str, within: float | None) -> Generator[float | None]:
    """Be the one thread that writes; yield how long it may wait for other processes.

    Args:
        writer: Held meanwhile.
        place: Where the memory lies, as it can be shown.
        within: Seconds to wait at most, for threads and processes together; None: no limit.

    Raises:
        StorageError: If other threads keep it longer.
    """
    began = time.monotonic()
    if not writer.acquire(timeout=-1 if within is None else within):
        raise StorageError(
            f"other threads must leave the memory {str(place)!r} to a call within what is left "
            f"of its timeout, {within:.1f} seconds, but kept writing; nothing was changed; try "
            "again, or give a longer timeout"
        )
    try:
        yield None if within is None else max(0.0, began + within - time.monotonic())
    finally:
        writer.release()
