"""How many threads torch computes a model's passes on.

A pass over few weights is over before a second thread has woken up, and its threads wait for each
other in a loop: beside another busy program each of them waits for one that has no core.
"""

from collections.abc import Generator
from contextlib import contextmanager
from functools import cache

import torch

from latent_memory.fork_renewal import in_forked_child

SHARED_FROM = 64 << 20  # bytes of weights; docs/speed.md says how it was measured
_forked: list[bool] = []


def threads_for(asked: int | None, weights: int | None) -> int | None:
    """Return how many threads a model computes on, by `Threads`' arguments; None: as usual."""
    return asked or (1 if weights is not None and weights < SHARED_FROM else None)


class Threads:
    """Threads of the passes of one model; the caller's own setting applies elsewhere.

    Args:
        asked: How many; None: one for a model below `SHARED_FROM`, and else what torch is set to.
        weights: Bytes of the model's weights, None: not on the CPU.
    """

    def __init__(self, asked: int | None, weights: int | None) -> None:
        spare_children_our_threads()
        self._chosen = threads_for(asked, weights)

    @property
    def count(self) -> int:
        """How many compute."""
        return 1 if _forked else self._chosen or torch.get_num_threads()

    @contextmanager
    def used(self) -> Generator[None]:
        """Compute on them within; torch keeps the number for each of the program's own threads."""
        before, wanted = torch.get_num_threads(), self.count
        if before == wanted:
            yield
            return
        torch.set_num_threads(wanted)
        try:
            yield
        finally:
            torch.set_num_threads(before)


@cache
def spare_children_our_threads() -> None:
    """Let children that are forked from now on compute in one thread.

    The pool in which torch computes stays in the parent, and a child would wait for it for ever.
    """
    in_forked_child(_keep_to_one)


def _keep_to_one() -> None:
    _forked.append(True)
    torch.set_num_threads(1)
