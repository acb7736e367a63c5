"""Calls that decode at the same time share each pass of the model.

Every call runs in a thread of its own, and there is no other. A thread whose rows have new tokens
waits until all threads that decode have some; one of them then makes a single pass for all. So
rows join and leave between passes, each thread chooses its own tokens, keeps its own budget and
ends by itself, and a call that is alone runs as if there were no others.
"""

import threading
from collections.abc import Generator, Hashable, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Protocol

from latent_agent.model.open_answer import PassOutput
from latent_memory.fork_renewal import Renewed


class Passes(Protocol):
    """What makes passes for groups: sequences that one call decodes together."""

    def run(self, groups: Sequence[Any]) -> Sequence[PassOutput]:
        """Read one more token in each row of all groups; return each group's output."""
        ...

    def leave(self, group: Any, *, keep: bool) -> None:
        """Let a group go; ``keep``: it must hold its own rows afterwards."""
        ...


class BatchScheduler(Renewed):
    """The order in which threads use one model, and the batch in which they decode.

    Only one thread at a time uses the model: two would share the same cores. Longer passes
    (`alone`) come before shared ones, so that their calls soon join the batch.

    Args:
        passes: Makes them.
        can_batch: Whether rows of several calls may share a pass.
    """

    def __init__(self, passes: Passes, *, can_batch: bool) -> None:
        super().__init__()
        self._passes, self._can_batch = passes, can_batch
        self.renew()

    def renew(self) -> None:
        """Begin with no groups: no thread forks while it has one."""
        self._changed = threading.Condition()
        self._busy = False
        self._exclusive_waiters = 0  # threads that wait in `alone`
        self._groups: list[Hashable] = []
        self._in_pass: tuple[Hashable, ...] = ()  # the groups of the current pass
        # None: requested, not yet there.
        self._outputs: dict[Hashable, PassOutput | Exception | None] = {}

    @contextmanager
    def alone(self) -> Generator[None]:
        """Hold the model for a pass that is not shared."""
        with self._changed:
            self._exclusive_waiters += 1
            try:
                self._changed.wait_for(lambda: not self._busy)
                self._busy = True
            finally:
                self._exclusive_waiters -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            self._release()

    @contextmanager
    def joined(self, group: Hashable, *, keep: bool) -> Generator[None]:
        """Decode a group together with others until this is left.

        Until its thread calls `step`, the others wait for it.

        Args:
            group: The rows.
            keep: Whether the group must hold its own rows afterwards.
        """
        if not self._can_batch:
            yield
            return
        with self._changed:
            self._groups.append(group)
        try:
            yield
        finally:
            self._leave(group, keep=keep)

    def _leave(self, group: Hashable, *, keep: bool) -> None:
        try:
            # No pass that includes this group begins meanwhile.
            self._passes.leave(group, keep=keep)
        finally:  # in any case the others must not wait for this group
            with self._changed:
                self._groups.remove(group)
                self._outputs.pop(group, None)
                self._changed.notify_all()

    def step(self, group: Hashable) -> PassOutput:
        """Read the next token in each row of a group that has joined.

        Raises:
            Exception: Whatever a pass raises, in each thread that took part.
        """
        if not self._can_batch:
            with self.alone():
                return self._passes.run([group])[0]
        with self._changed:
            self._outputs[group] = None
        while (output := self._wait(group)) is None:
            self._run_pass()
        if isinstance(output, Exception):
            raise output
        return output

    def _wait(self, group: Hashable) -> PassOutput | Exception | None:
        """Wait for a group's output; None: this thread is the one to run the pass."""
        with self._changed:
            self._changed.wait_for(lambda: self._outputs[group] is not None or self._all_waiting())
            output = self._outputs[group]
            if output is None:  # groups that join from now on are not part of this pass
                self._busy, self._in_pass = True, tuple(self._groups)
            else:
                del self._outputs[group]
            return output

    def _all_waiting(self) -> bool:
        if self._busy or self._exclusive_waiters or len(self._outputs) < len(self._groups):
            return False
        return all(output is None for output in self._outputs.values())

    def _run_pass(self) -> None:
        """Make one pass for all groups in it."""
        groups = self._in_pass
        outputs: Sequence[PassOutput | Exception] = ()
        try:
            outputs = self._passes.run(groups)
        except Exception as error:
            outputs = [error] * len(groups)
        finally:
            # An interrupt ends this thread alone; another makes the pass for the others.
            self._release(dict(zip(groups, outputs, strict=False)))

    def _release(
        self, outputs: Mapping[Hashable, PassOutput | Exception] = MappingProxyType({})
    ) -> None:
        with self._changed:
            for group, output in outputs.items():
                if group in self._outputs:
                    self._outputs[group] = output
            self._busy = False
            self._changed.notify_all()
