"""What the calls of a soak reported: which traces were stored, and which forgotten."""

import random
import threading
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

_LEAST, _MOST = 120, 150  # traces that a namespace is kept between, so that all stays in bounds


@dataclass(frozen=True, slots=True)
class Entry:
    """A trace whose storing was acknowledged."""

    namespace: str
    question: str


class Ledger:
    """Notes that many threads take at once.

    Attributes:
        actions: How often each was done.
        gone: Ids whose forgetting was acknowledged.
        problems: What went wrong while the threads were at work.
    """

    def __init__(self) -> None:
        self.actions: Counter[str] = Counter()
        self.gone: set[int] = set()
        self.problems: list[str] = []
        self._lock = threading.Lock()
        self._entries: dict[int, Entry] = {}
        self._alive: dict[str, list[int]] = defaultdict(list)
        self._spared: str | None = None
        self._recalled: dict[str, set[int]] = defaultdict(set)

    @property
    def entries(self) -> Mapping[int, Entry]:
        """Every trace that was acknowledged, by id."""
        return self._entries

    def did(self, action: str) -> None:
        """Count a action."""
        with self._lock:
            self.actions[action] += 1

    def failed(self, problem: str) -> None:
        """Note what went wrong."""
        with self._lock:
            self.problems.append(problem)

    def stored(self, id_: int, namespace: str, question: str) -> None:
        """Note that a trace was acknowledged."""
        with self._lock:
            if id_ in self._entries:
                self.problems.append(f"trace {id_} was acknowledged twice")
            self._entries[id_] = Entry(namespace, question)
            self._alive[namespace].append(id_)

    def recalled(self, namespace: str, ids: Iterable[int]) -> None:
        """Note which traces warm-started a call of a namespace."""
        with self._lock:
            self._recalled[namespace].update(ids)

    @contextmanager
    def spared(self, namespace: str) -> Generator[None]:
        """Let nothing of a namespace be forgotten meanwhile, so that its night can publish."""
        with self._lock:
            self._spared = namespace
        try:
            yield
        finally:
            with self._lock:
                self._spared = None

    def leaving(self, namespace: str, rng: random.Random) -> Sequence[int]:
        """Choose traces that are to be forgotten; no other thread chooses them too."""
        with self._lock:
            if namespace == self._spared:
                return []
            alive = self._alive[namespace]
            count = min(max(2, len(alive) - _MOST), max(0, len(alive) - _LEAST))
            rng.shuffle(alive)
            chosen, self._alive[namespace] = alive[:count], alive[count:]
            return chosen

    def forgotten(self, ids: Iterable[int]) -> None:
        """Note that traces were forgotten."""
        with self._lock:
            self.gone.update(ids)

    def strangers(self) -> Sequence[str]:
        """Tell every recall that gave a namespace what another one had stored."""
        return [
            f"namespace {name!r} was given trace {id_}, which is not its own"
            for name, ids in self._recalled.items()
            for id_ in sorted(ids)
            if id_ not in self._entries or self._entries[id_].namespace != name
        ]
