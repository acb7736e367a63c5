"""Browsers that are logged in, and how often one may try to."""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from latent_memory.fork_renewal import ForkSafeLock

HOURS = 12
_LOGGED_IN = 1000  # at once; the oldest has to log in again
_FAILURES, _WINDOW = 10, 60.0  # logins that may fail from one address in so many seconds
_ADDRESSES = 10_000

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Session:
    """A browser that is logged in.

    Attributes:
        secret: The API key that it logged in with, asked for again at each request: a key that is
            taken away ends its sessions, and one that lost a right loses it here too.
        token: What each of its changes must bear.
        ends: When it expires, by the clock.
    """

    secret: str
    token: str
    ends: float


class Sessions:
    """The sessions of one process, in its memory alone: a restart logs everybody out."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self._lock = clock, ForkSafeLock()
        self._sessions: dict[str, Session] = {}

    def begin(self, secret: str) -> str:
        """Begin a session; return its id, 256 random bits, which the browser keeps."""
        id_ = secrets.token_urlsafe(32)
        ends = self._clock() + HOURS * 3600
        with self._lock:
            while len(self._sessions) >= _LOGGED_IN:
                del self._sessions[next(iter(self._sessions))]
            self._sessions[id_] = Session(secret=secret, token=new_token(), ends=ends)
        return id_

    def find(self, id_: str) -> Session | None:
        """Return a session that has neither expired nor ended."""
        with self._lock:
            session = self._sessions.get(id_)
            if session is not None and session.ends <= self._clock():
                del self._sessions[id_]
                return None
            return session

    def end(self, id_: str) -> None:
        """End a session: whoever kept its id has nothing any more."""
        with self._lock:
            self._sessions.pop(id_, None)


class Attempts:
    """Logins that failed, by the address that they came from."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock, self._lock = clock, ForkSafeLock()
        self._failed: dict[str, list[float]] = {}

    def wait(self, address: str) -> int:
        """Return for how many seconds an address may not try again; 0: it may."""
        with self._lock:
            recent = self._recent(address)
            if len(recent) < _FAILURES:
                return 0
            return max(1, round(recent[-_FAILURES] + _WINDOW - self._clock()))

    def failed(self, address: str) -> None:
        """Note a login that failed."""
        with self._lock:
            recent = [*self._recent(address), self._clock()]
            self._failed.pop(address, None)
            while len(self._failed) >= _ADDRESSES:
                del self._failed[next(iter(self._failed))]
            self._failed[address] = recent[-_FAILURES:]

    def _recent(self, address: str) -> list[float]:
        since = self._clock() - _WINDOW
        return [when for when in self._failed.get(address, ()) if when > since]


def new_token() -> str:
    """Return what a page's forms bear, and no other page can know."""
    return secrets.token_urlsafe(32)
