"""The queue of calls for one model: a limited number at work, a limited number waiting."""

import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar

from latent_agent.errors import BusyError, CallCancelled
from latent_agent.settings import Settings
from latent_memory.fork_renewal import Renewed

_LOOK = 0.1  # seconds between two looks at whether a call is still wanted

# The queues whose turn this thread has: a reward may ask the model that it is called by.
_turns: ContextVar[tuple["CallQueue", ...]] = ContextVar("_turns", default=())


class Ticket:
    """A place among a model's calls.

    Attributes:
        waited: Seconds that it waited for a thread, before its first turn.
    """

    def __init__(self) -> None:
        self._taken, self.waited = time.monotonic(), 0.0

    def begin(self) -> None:
        """Take note that there is a thread now."""
        self.waited = time.monotonic() - self._taken


class CallQueue(Renewed):
    """The calls of one model: those that are answered, and those that wait in line for it."""

    def __init__(self) -> None:
        super().__init__()
        self.renew()

    def renew(self) -> None:
        """Begin with no calls but the one, if any, that this thread is within."""
        self._changed = threading.Condition()
        self._present = self._working = int(self in _turns.get())  # at work or waiting; at work
        self._line: list[object] = []  # those ready for a turn, first come first

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return self._present - self._working

    @contextmanager
    def place(self, settings: Settings) -> Generator[Ticket]:
        """Take a place among the calls at once, before there is a thread to answer in.

        Raises:
            BusyError: If as many wait as may.
        """
        with self._changed:
            most = settings.max_waiting
            ahead = self._present - settings.max_calls
            if most is not None and ahead >= most and self not in _turns.get():
                raise BusyError(
                    f"at most {most} calls may wait for the model while {settings.max_calls} are "
                    f"answered, but {max(ahead, 0)} do; try again later, or allow more with "
                    "max_waiting"
                )
            self._present += 1
            self._changed.notify_all()
        try:
            yield Ticket()
        finally:
            with self._changed:
                self._present -= 1
                self._changed.notify_all()

    @contextmanager
    def turn(
        self, settings: Settings, cancelled: threading.Event, place: Ticket | None = None
    ) -> Generator[float]:
        """Wait for a turn, and answer meanwhile; gives the seconds that were waited.

        Args:
            settings: How many may be at work, how many may wait, and how long.
            cancelled: Set once the answer is no longer wanted.
            place: A place that was taken before; what it waited counts. None: it is taken now.

        Raises:
            BusyError: If as many wait as may, or the timeout passes in line.
            CallCancelled: If the answer is no longer wanted.
        """
        if self in _turns.get():  # within a call that has its turn: it could wait for ever
            yield 0.0
        else:
            taken = nullcontext(place) if place else self.place(settings)
            with taken as mine, self._taken(settings, cancelled, mine) as waited:
                yield waited

    @contextmanager
    def _taken(
        self, settings: Settings, cancelled: threading.Event, place: Ticket
    ) -> Generator[float]:
        waited = self._wait(settings, cancelled, place)
        token = _turns.set((*_turns.get(), self))
        try:
            yield waited
        finally:
            _turns.reset(token)
            place.waited = 0.0
            with self._changed:
                self._working -= 1
                self._changed.notify_all()

    def _wait(self, settings: Settings, cancelled: threading.Event, place: Ticket) -> float:
        me, since = object(), time.monotonic() - place.waited
        if settings.timeout:  # of none at all the call makes what it can
            _check(settings, cancelled, time.monotonic() - since)
        with self._changed:
            self._line.append(me)
            self._changed.notify_all()
            try:
                while not self._may_begin(me, settings):
                    _check(settings, cancelled, time.monotonic() - since)
                    self._changed.wait(_LOOK)
                self._working += 1
            finally:
                self._line.remove(me)
                self._changed.notify_all()
        return time.monotonic() - since

    def _may_begin(self, me: object, settings: Settings) -> bool:
        if settings.max_waiting is None:  # nobody waits in line: all share the model's passes
            return True
        return self._line[0] is me and self._working < settings.max_calls


def _check(settings: Settings, cancelled: threading.Event, waited: float) -> None:
    if cancelled.is_set():
        raise CallCancelled
    if settings.timeout is not None and waited >= settings.timeout:
        raise BusyError(
            f"a call must get its turn within its timeout of {settings.timeout:g} seconds, but "
            "others kept the model busy; try again later, or give a longer timeout"
        )
