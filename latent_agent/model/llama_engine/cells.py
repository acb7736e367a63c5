"""Who holds which cells of a context: work under way has all that it may come to need."""

import threading
from collections import deque
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol
from weakref import ref

from latent_agent.model.llama_engine.context import Context

_LOOK = 0.05  # seconds between two looks whether the answer is still wanted


class Holder(Protocol):
    """A sequence that keeps what it has read for as long as nobody needs the room."""

    number: int | None
    """Its number in the context; None: it holds nothing."""

    @property
    def length(self) -> int:
        """How many cells it holds."""
        ...

    def forget(self) -> None:
        """Take note that its cells are gone; it reads again what it needs."""
        ...


class Cells:
    """The cells and sequence numbers of one context.

    Work under way is promised all that it may need, so that it always comes to its end. What it
    leaves is kept until others need the room: what was longest unused goes first.

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
        self._free = deque(range(sequences))
        self._claims: dict[Holder, int] = {}
        self._idle: dict[int, tuple[int, ref[Holder]]] = {}  # cells by number, oldest first
        self._dropped: deque[int] = deque()

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
        with self._changed:
            wanted = forks + (holder.number is None)
            while not self._fits(holder, cells, wanted):
                if not self._evict(holder):
                    check()
                    self._changed.wait(_LOOK)
            if holder.number is None:
                holder.number = self._free.popleft()
            self._claims[holder] = cells
            self._idle.pop(holder.number, None)
            numbers = [self._free.popleft() for _ in range(forks)]
        try:
            yield numbers
        finally:
            self._release(holder, numbers)

    def dropped(self, number: int) -> None:
        """Take note that nobody has the holder of a number any more; waits for nothing."""
        self._dropped.append(number)

    def _fits(self, holder: Holder, cells: int, numbers: int) -> bool:
        while self._dropped:
            self._clear(self._dropped.popleft())
        others = [held for number, (held, _) in self._idle.items() if number != holder.number]
        return (
            sum(self._claims.values()) + sum(others) + cells <= self.total
            and len(self._free) >= numbers
        )

    def _evict(self, holder: Holder) -> bool:
        """Clear what was longest unused; return whether there was any."""
        for number, (_, kept) in self._idle.items():
            if number != holder.number:
                self._clear(number)
                if (victim := kept()) is not None:
                    victim.forget()
                return True
        return False

    def _clear(self, number: int) -> None:
        with self._alone():
            self._context.cut(number, 0)
        self._idle.pop(number, None)
        self._free.append(number)

    def _release(self, holder: Holder, forks: list[int]) -> None:
        with self._changed:
            for number in forks:
                self._clear(number)
            del self._claims[holder]
            if holder.number is not None:
                self._idle[holder.number] = (holder.length, ref(holder))
            self._changed.notify_all()
