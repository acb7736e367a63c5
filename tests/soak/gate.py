"""Many at work, or nobody. The standard library has no lock that many may share."""

import threading
from collections.abc import Generator
from contextlib import contextmanager


class Gate:
    """Open to any number at once; a caller that wants rest waits until all have left."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._closed = False

    @contextmanager
    def work(self) -> Generator[None]:
        """Be one of those at work."""
        with self._changed:
            self._changed.wait_for(lambda: not self._closed)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def rest(self) -> Generator[None]:
        """Let nobody be at work; one at a time may ask for it."""
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not self._inside)
        try:
            yield
        finally:
            with self._changed:
                self._closed = False
                self._changed.notify_all()
