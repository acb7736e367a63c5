"""Work that nobody waits for, in a thread of its own."""

import threading
from collections.abc import Callable
from contextlib import suppress

_WAIT = 30.0  # seconds that the end of a process is put off


class Background:
    """One piece of work at a time, after its caller has gone on."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    def start(self, work: Callable[[], None]) -> None:
        """Begin, unless it is under way."""
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=work, name="latent-memory graphs", daemon=True)
            with suppress(RuntimeError):  # no thread can be had, or the interpreter ends
                thread.start()
                self._thread = thread

    def wait(self) -> None:
        """Let it end, for a while."""
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_WAIT)
