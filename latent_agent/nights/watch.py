"""How long work is followed and stopped: by whoever wants it to end, or by the clock."""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from latent_agent.errors import NightStoppedError, SettingError


class Halt(threading.Event):
    """Set by itself, with another event, or once a time is over. Not to be waited for.

    Args:
        other: Is heeded too.
        seconds: From now on; infinite: no limit.
    """

    def __init__(self, other: threading.Event, seconds: float = math.inf) -> None:
        super().__init__()
        self._other, self._ends = other, time.monotonic() + seconds

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.monotonic() >= self._ends

    def is_set(self) -> bool:
        """Whether the work is to end."""
        return super().is_set() or self._other.is_set() or self.late


@dataclass(frozen=True, kw_only=True)
class Watch:
    """How work is followed and stopped.

    Attributes:
        report: Given the stage, how much of it is done, and of how much.
        spent: Given tokens as they are forwarded.
        stop: Once set, the work ends at its next check.
    """

    report: Callable[[str, int, int], None] = lambda _stage, _done, _total: None
    spent: Callable[[int], None] = lambda _tokens: None
    stop: threading.Event = field(default_factory=threading.Event)

    def within(self, minutes: float | None) -> "Watch":
        """Return the same, whose work ends after so many minutes from now on; None: no limit.

        Raises:
            SettingError: If that is no time.
        """
        if minutes is None:
            return self
        if not 0 < minutes < math.inf:
            raise SettingError(
                f"max_minutes must be a finite number above 0, got {minutes!r}; give for example "
                "60, or leave it out for no limit"
            )
        return replace(self, stop=Halt(self.stop, 60 * minutes))

    def tick(self, stage: str, done: int, total: int, tokens: int = 0) -> None:
        """Report, with the tokens that were forwarded since, and end the work if it is to stop."""
        self.check()
        self.spent(tokens)
        self.report(stage, done, total)

    def check(self) -> None:
        """Raise NightStoppedError if the work is to stop."""
        if self.stop.is_set():
            late = isinstance(self.stop, Halt) and self.stop.late
            raise NightStoppedError(
                f"the night was stopped {'at its time limit' if late else 'before its end'}; "
                "nothing was published, the next one goes on from what was done"
            )
