"""No open connection crosses a fork.

SQLite's locks belong to a process, but its bookkeeping of them is copied into a forked child,
which then seems to hold locks that it does not: the parent may delete the write-ahead log that the
child is writing to. So all connections are closed before a fork, and opened again, in parent and
child, when next needed.
"""

import logging
import os
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from weakref import WeakSet

from latent_memory.errors import StorageError
from latent_memory.fork_renewal import Renewed, in_forked_child

logger = logging.getLogger(__name__)

_PATIENCE = 60.0


class Gate(Renewed):
    """Counts the uses of a database; a fork waits until there are none, and holds new ones back.

    Args:
        close: Closes the idle connections.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        super().__init__()
        self._close = close
        self._uses = 0
        self.renew()
        _gates.add(self)

    def renew(self) -> None:
        """Reset it in a child; what was in use there at the fork cannot be used any more."""
        self._lost = self._uses > 0
        self._changed = threading.Condition()
        self._uses = 0
        self._shut = False

    @contextmanager
    def use(self) -> Generator[None]:
        """Hold forks back for the length of a transaction; one may not be begun inside another.

        Raises:
            StorageError: If this process was forked inside a transaction.
        """
        if self._lost:
            raise StorageError(
                "a process must not be forked inside a transaction of a memory that it uses, but "
                f"process {os.getpid()} was; fork between calls, or start it with spawn"
            )
        with self._changed:
            self._changed.wait_for(lambda: not self._shut)
            self._uses += 1
        try:
            yield
        finally:
            with self._changed:
                self._uses -= 1
                self._changed.notify_all()

    def shut(self) -> None:
        """Wait until nothing is in use, then close the connections and hold new uses back."""
        self._changed.acquire()  # kept over the fork, or it might stay locked in the child
        self._changed.wait_for(lambda: not self._shut)
        self._shut = True
        if not self._changed.wait_for(lambda: self._uses == 0, _PATIENCE):
            logger.error(
                "a fork must not happen inside a transaction, but one was still open after %.0f "
                "seconds; do not use this memory in the child process",
                _PATIENCE,
            )
        self._close()

    def open(self) -> None:
        """Allow uses again."""
        self._shut = False
        self._changed.notify_all()
        self._changed.release()


_gates: WeakSet[Gate] = WeakSet()
_shut: list[Gate] = []


def _before_fork() -> None:
    for gate in sorted(_gates, key=id):  # one order for all threads that fork at once
        gate.shut()
        _shut.append(gate)


def _after_fork() -> None:
    while _shut:
        _shut.pop().open()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork)
in_forked_child(_shut.clear)  # the gates renew themselves
