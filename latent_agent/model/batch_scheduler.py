"""Calls that decode at the same time share each pass of the model.

Every call runs in a thread of its own, and there is no other. A thread that wants its rows' next
tokens read waits until all threads that decode want that; one of them then makes a single pass
for all. So rows join and leave between passes, each thread chooses its own tokens, pays its own
bill and ends by itself, and a call that is alone runs as if there were no others.
"""

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Protocol

import torch
from transformers import Cache

from latent_agent.model.batched_cache import BatchRows, Gathered
from latent_memory.fork_renewal import Renewed

Made = tuple[torch.Tensor, torch.Tensor]
"""Latents, (rows, d) float32, and their logits, (rows, vocabulary)."""


class Pass(Protocol):
    """Reads one more token in each row."""

    def __call__(
        self,
        ids: torch.Tensor,
        cache: Cache,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> Made:
        """Return latents and logits after the tokens."""
        ...


class Decoding(Renewed):
    """The order in which threads use one model, and the batch in which they decode.

    Only one thread at a time uses the model: two would share the same cores. Whoever wants it for
    longer passes (`alone`) comes before decoding, and so soon decodes along.

    Args:
        one_pass: Reads one more token in each row.
        gathers: Whether rows of several calls may share a pass.
    """

    def __init__(self, one_pass: Pass, *, gathers: bool) -> None:
        super().__init__()
        self._pass, self._gathers = one_pass, gathers
        self.renew()

    def renew(self) -> None:
        """Begin with no members: no thread asks for a fork while it has one."""
        self._changed = threading.Condition()
        self._busy = False
        self._asking = 0
        self._members: list[BatchRows] = []
        self._passing: tuple[BatchRows, ...] = ()  # the members of the pass under way
        self._made: dict[BatchRows, Made | Exception | None] = {}  # None: asked for, not yet made
        self.gathered: Gathered | None = None

    @contextmanager
    def alone(self) -> Generator[None]:
        """Use the model for a pass of one's own."""
        with self._changed:
            self._asking += 1
            try:
                self._changed.wait_for(lambda: not self._busy)
                self._busy = True
            finally:
                self._asking -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            self._rest()

    @contextmanager
    def joined(self, member: BatchRows, *, keep: bool) -> Generator[None]:
        """Decode a member together with others for so long.

        Until its thread asks for a step, the others wait for it.

        Args:
            member: The rows.
            keep: Whether the member's cache shall hold its rows in the end.
        """
        if not self._gathers:
            yield
            return
        with self._changed:
            self._members.append(member)
        try:
            yield
        finally:
            self._leave(member, keep=keep)

    def _leave(self, member: BatchRows, *, keep: bool) -> None:
        try:
            # No pass is made while this member asks for none, so the batch stands still.
            gathered = self.gathered  # a pass that this member came too late for may drop it
            if keep and gathered is not None and member in gathered.members:
                gathered.give_back(member, copy=True)
        finally:  # whatever happens, the others must not wait for this member
            with self._changed:
                self._members.remove(member)
                self._made.pop(member, None)
                self._changed.notify_all()

    def step(self, member: BatchRows, ids: torch.Tensor) -> Made:
        """Read the next token in each row of a member that has joined; ids (rows, 1).

        Raises:
            Exception: Whatever a pass raises, in each thread that took part.
        """
        member.ids = ids
        if not self._gathers:
            with self.alone():
                return self._one(member)
        with self._changed:
            self._made[member] = None
        while (made := self._wait(member)) is None:
            self._step_all()
        if isinstance(made, Exception):
            raise made
        return made

    def _wait(self, member: BatchRows) -> Made | Exception | None:
        """Wait for what a member asked for, or until it is this thread's turn to make it."""
        with self._changed:
            self._changed.wait_for(lambda: self._made[member] is not None or self._all_ask())
            made = self._made[member]
            if made is None:  # whoever joins from now on is not part of this pass
                self._busy, self._passing = True, tuple(self._members)
            else:
                del self._made[member]
            return made

    def _all_ask(self) -> bool:
        if self._busy or self._asking or len(self._made) < len(self._members):
            return False
        return all(made is None for made in self._made.values())

    def _step_all(self) -> None:
        """Make one pass for all members that asked for it."""
        members = self._passing
        made: Sequence[Made | Exception] = ()
        try:
            made = [self._one(members[0])] if len(members) == 1 else self._many(members)
        except Exception as error:
            made = [error] * len(members)
        finally:
            # Of an interrupt only this thread is to know; another makes the pass for the others.
            self._rest(dict(zip(members, made, strict=False)))

    def _rest(self, made: Mapping[BatchRows, Made | Exception] = MappingProxyType({})) -> None:
        with self._changed:
            for member, part in made.items():
                if member in self._made:
                    self._made[member] = part
            self._busy = False
            self._changed.notify_all()

    def _one(self, member: BatchRows) -> Made:
        if self.gathered is not None:
            if member in self.gathered.members:
                self.gathered.give_back(member, copy=True)
            self.gathered = None
        assert member.ids is not None
        return self._pass(member.ids, member.cache, *member.inputs())

    def _many(self, members: tuple[BatchRows, ...]) -> list[Made]:
        batch = self._gather(members)
        ids, mask, positions = batch.inputs()
        try:
            latents, logits = self._pass(ids, batch.cache, mask, positions)
        except BaseException:
            batch.rewind()
            raise
        batch.grow(mask)
        return list(zip(batch.split(latents), batch.split(logits), strict=True))

    def _gather(self, members: tuple[BatchRows, ...]) -> Gathered:
        before = self.gathered
        if before is not None and before.members == members:
            return before
        if before is not None:
            for member in members:
                if member in before.members:
                    before.give_back(member, copy=False)
        self.gathered = Gathered(members)
        return self.gathered
