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

from latent_agent.model.batched_cache import Gathered, Lane
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
        """Begin with no lanes: no thread asks for a fork while it has one."""
        self._changed = threading.Condition()
        self._busy = False
        self._asking = 0
        self._lanes: list[Lane] = []
        self._passing: tuple[Lane, ...] = ()  # the lanes of the pass under way
        self._made: dict[Lane, Made | Exception | None] = {}  # None: asked for, not yet made
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
    def joined(self, lane: Lane, *, keep: bool) -> Generator[None]:
        """Decode a lane together with others for so long.

        Until its thread asks for a step, the others wait for it.

        Args:
            lane: The rows.
            keep: Whether the lane's cache shall hold its rows in the end.
        """
        if not self._gathers:
            yield
            return
        with self._changed:
            self._lanes.append(lane)
        try:
            yield
        finally:
            self._leave(lane, keep=keep)

    def _leave(self, lane: Lane, *, keep: bool) -> None:
        try:
            # No pass is made while this lane asks for none, so the batch stands still.
            gathered = self.gathered  # a pass that this lane came too late for may drop it
            if keep and gathered is not None and lane in gathered.lanes:
                gathered.give_back(lane, copy=True)
        finally:  # whatever happens, the others must not wait for this lane
            with self._changed:
                self._lanes.remove(lane)
                self._made.pop(lane, None)
                self._changed.notify_all()

    def step(self, lane: Lane, ids: torch.Tensor) -> Made:
        """Read the next token in each row of a lane that has joined; ids (rows, 1).

        Raises:
            Exception: Whatever a pass raises, in each thread that took part.
        """
        lane.ids = ids
        if not self._gathers:
            with self.alone():
                return self._one(lane)
        with self._changed:
            self._made[lane] = None
        while (made := self._wait(lane)) is None:
            self._step_all()
        if isinstance(made, Exception):
            raise made
        return made

    def _wait(self, lane: Lane) -> Made | Exception | None:
        """Wait for what a lane asked for, or until it is this thread's turn to make it."""
        with self._changed:
            self._changed.wait_for(lambda: self._made[lane] is not None or self._all_ask())
            made = self._made[lane]
            if made is None:  # whoever joins from now on is not part of this pass
                self._busy, self._passing = True, tuple(self._lanes)
            else:
                del self._made[lane]
            return made

    def _all_ask(self) -> bool:
        if self._busy or self._asking or len(self._made) < len(self._lanes):
            return False
        return all(made is None for made in self._made.values())

    def _step_all(self) -> None:
        """Make one pass for all lanes that asked for it."""
        lanes = self._passing
        made: Sequence[Made | Exception] = ()
        try:
            made = [self._one(lanes[0])] if len(lanes) == 1 else self._many(lanes)
        except Exception as error:
            made = [error] * len(lanes)
        finally:
            # Of an interrupt only this thread is to know; another makes the pass for the others.
            self._rest(dict(zip(lanes, made, strict=False)))

    def _rest(self, made: Mapping[Lane, Made | Exception] = MappingProxyType({})) -> None:
        with self._changed:
            for lane, part in made.items():
                if lane in self._made:
                    self._made[lane] = part
            self._busy = False
            self._changed.notify_all()

    def _one(self, lane: Lane) -> Made:
        if self.gathered is not None:
            if lane in self.gathered.lanes:
                self.gathered.give_back(lane, copy=True)
            self.gathered = None
        assert lane.ids is not None
        return self._pass(lane.ids, lane.cache, *lane.inputs())

    def _many(self, lanes: tuple[Lane, ...]) -> list[Made]:
        batch = self._gather(lanes)
        ids, mask, positions = batch.inputs()
        try:
            latents, logits = self._pass(ids, batch.cache, mask, positions)
        except BaseException:
            batch.rewind()
            raise
        batch.grow(mask)
        return list(zip(batch.split(latents), batch.split(logits), strict=True))

    def _gather(self, lanes: tuple[Lane, ...]) -> Gathered:
        before = self.gathered
        if before is not None and before.lanes == lanes:
            return before
        if before is not None:
            for lane in lanes:
                if lane in before.lanes:
                    before.give_back(lane, copy=False)
        self.gathered = Gathered(lanes)
        return self.gathered
