"""What threads share is reset in a forked child.

Only the thread that forks exists there. A lock that another thread held would stay locked forever,
and a place that it had taken would never be released.
"""

import os
import threading
from collections.abc import Callable
from weakref import WeakSet


class Renewed:
    """What many threads share: `renew` is called on it in every forked child."""

    def __init__(self) -> None:
        _renewed.add(self)

    def renew(self) -> None:
        """Reset it, as if no thread had used it."""
        raise NotImplementedError


class ForkSafeLock(Renewed):
    """A reentrant lock that is free in a forked child."""

    def __init__(self) -> None:
        super().__init__()
        self.renew()

    def renew(self) -> None:
        """Replace the lock by a free one."""
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def in_forked_child(work: Callable[[], object]) -> None:
    """Call ``work`` in every child that is forked from now on, before it does anything else."""
    if hasattr(os, "register_at_fork"):  # Windows has no forks
        os.register_at_fork(after_in_child=work)


_renewed: WeakSet[Renewed] = WeakSet()


def _renew_all() -> None:
    for one in list(_renewed):
        one.renew()


in_forked_child(_renew_all)
