"""Whoever wants to know when a model's weights are read; nobody does but commands."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager

LoadWatch = Callable[[str, str], AbstractContextManager[object]]
"""Takes a model's name and its size and precision in words; is entered before the weights are read
and left after."""

_watches: list[LoadWatch] = []


@contextmanager
def watching_loads(watch: LoadWatch) -> Generator[None]:
    """Call a watch at each load of a model within, in any thread."""
    _watches.append(watch)
    try:
        yield
    finally:
        _watches.remove(watch)


@contextmanager
def watched_load(name: str, details: str) -> Generator[None]:
    """Read weights within; the newest watch is told."""
    if not _watches:
        yield
        return
    with _watches[-1](name, details):
        yield
