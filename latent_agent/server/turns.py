"""How often a key may ask, and how many of its requests may be unanswered at once."""

import time
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager

from latent_agent.server.errors import ApiError
from latent_agent.server.keys import Key
from latent_memory.fork_renewal import ForkSafeLock


class Turns:
    """The requests of all keys."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._unanswered: Counter[str] = Counter()
        self._due: dict[str, float] = {}  # by key: when the next request of an even flow is due

    @contextmanager
    def turn(self, key: Key) -> Generator[None]:
        """Count a request among its key's until it is answered.

        Raises:
            ApiError: If the key has had, or has, as many as it may.
        """
        with self._lock:
            self._check_rate(key)
            if key.max_waiting is not None and self._unanswered[key.name] >= key.max_waiting:
                raise ApiError(
                    429,
                    f"at most {key.max_waiting} requests of key {key.name!r} may be unanswered at "
                    "once, and so many are; wait for one of them",
                    "too_many_unanswered",
                    kind="rate_limit_error",
                    headers={"retry-after": "1"},
                )
            self._unanswered[key.name] += 1
        try:
            yield
        finally:
            with self._lock:
                self._unanswered[key.name] -= 1

    def _check_rate(self, key: Key) -> None:
        """Hold a key to its rate; a minute's worth may come at once (GCRA)."""
        if key.requests_per_minute is None:
            return
        now, apart = time.monotonic(), 60.0 / key.requests_per_minute
        due = max(self._due.get(key.name, now), now)
        wait = due + apart - 60.0 - now
        if wait > 1e-6:
            seconds = int(wait) + 1
            raise ApiError(
                429,
                f"at most {key.requests_per_minute} requests a minute of key {key.name!r} are "
                f"answered, and it sent more; try again in {seconds} s",
                "rate_limit_exceeded",
                kind="rate_limit_error",
                headers={"retry-after": str(seconds)},
            )
        self._due[key.name] = due + apart
