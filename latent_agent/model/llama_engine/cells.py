"""Who holds which cells of a context: work under way has all that it may come to need."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol
from weakref import ref

from latent_agent.model.llama_engine.context import Context

_LOOK = 0.05  # seconds between two looks whether the answer is still wanted


class Place:
    """A sequence of the context, taken until it is cleared; its number is used again then."""

    def __init__(self, number: int) -> None:
        self.number, self.cleared = number, False


class Holder(Protocol):
    """A sequence that keeps what it has read for as long as nobody needs the room."""

    place: Place | None
    """Where it is kept; None: it holds nothing."""

    @property
    def length(self) -> int:
        """How many cells it holds."""
        ...

    def forget(self) -> None:
        """Take note that its cells are gone; it reads again what it needs."""
        ...


class Cells:
    """The cells and sequences of one context.

    Work under way is promised all that it may need, so that it always comes to its end. What it
    leaves is kept until others need the room: what was longest unused goes first. Who waits is
    served in the order of coming.

    Args:
        context: Where they are.
        sequences: How many sequences there may be at once.
        alone: Holds the model, so that nothing computes meanwhile.
    """

    def __init__(
        self, context: Context, sequences: int, alone: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._context, self._alone = context, alone
        self.sequences = sequences
        self._changed = threading.Condition()
        self._line: deque[object] = deque()
        self._free = deque(range(sequences))
        self._claims: dict[Place, int] = {}
        self._idle: dict[Place, tuple[int, ref[Holder]]] = {}  # cells, oldest first
        self._left: deque[Place] = deque()  # to be cleared before anybody is admitted

    @property
    def total(self) -> int:
        """How many cells there are."""
        return self._context.cells

    @contextmanager
    def claimed(
        self, holder: Holder, cells: int, forks: int, check: Callable[[], object]
    ) -> Generator[list[int]]:
        """Promise a holder cells, those that it holds included, and numbers for its forks.

        Waits until others leave enough.

        Args:
            holder: Whose work it is.
            cells: How many it may come to hold, forks included; no more than ``total``.
            forks: How many rows are forked from it at once.
            check: Raises once the answer is no longer wanted.
        """
        me = object()
        with self._changed:
            self._line.append(me)
            try:
                while self._line[0] is not me or not self._admits(holder, cells, forks):
                    check()
                    self._changed.wait(_LOOK)
                place = holder.place or self._taken()
                rows = [self._taken() for _ in range(forks)]
                self._idle.pop(place, None)
                self._claims[place] = max(cells, holder.length)
                holder.place = place
            finally:
                self._line.remove(me)
                self._changed.notify_all()
        try:
            yield [row.number for row in rows]
        finally:
            with self._changed:
                del self._claims[place]
                self._left.extend(rows)
                self._idle[place] = (holder.length, ref(holder))
                self._changed.notify_all()

    def leave(self, place: Place) -> None:
        """Take note that nobody has the holder of a place any more; waits for nothing."""
        self._left.append(place)

    def _taken(self) -> Place:
        return Place(self._free.popleft())

    def _admits(self, holder: Holder, cells: int, forks: int) -> bool:
        """Whether there is room, once others were put aside for it."""
        left = [self._left.popleft() for _ in range(len(self._left))]
        self._clear(left)
        promised = sum(self._claims.values()) + max(cells, holder.length)
        if promised > self.total:
            return False
        while True:
            others = [place for place in self._idle if place is not holder.place]
            held = sum(self._idle[place][0] for place in others)
            wanted = forks + (holder.place is None)
            if promised + held <= self.total and len(self._free) >= wanted:
                return True
            if not others:
                return False
            _, kept = self._idle[others[0]]
            self._clear(others[:1])
            if (victim := kept()) is not None:
                victim.forget()

    def _clear(self, places: Iterable[Place]) -> None:
        waiting = [place for place in places if not place.cleared]
        if not waiting:
            return
        with self._alone():
            for place in waiting:
                self._context.cut(place.number, 0)
        for place in waiting:
            place.cleared = True
            self._idle.pop(place, None)
            self._free.append(place.number)
