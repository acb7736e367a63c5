"""What several methods want of one question is made once: drafts, seeded samples, verdicts.

Drafts, samples and a judge's replies are all rows that an engine writes, and what a row comes to
hangs on nothing but the row. So methods need not know of each other.
"""

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import fields, replace
from math import inf
from typing import Any, TypeVar

import torch

from latent_agent.evaluation.meter import Meter
from latent_agent.model.budget import Budget
from latent_agent.model.engine import Completion, Writing
from latent_agent.model.sampling import Sampler
from latent_memory.fork_renewal import ForkSafeLock

Wanted = TypeVar("Wanted")
_LOGITS = 64  # prompts whose logits are kept, first come: each has a whole vocabulary


class AnswerPool:
    """What was made for one question, or is being made.

    Args:
        meter: Counts what is really forwarded.
        cancelled: Set once no answer is wanted any more.
    """

    def __init__(self, meter: Meter, cancelled: threading.Event) -> None:
        self._meter, self._cancelled = meter, cancelled
        self._lock = ForkSafeLock()
        self._made: dict[Hashable, Future[Any]] = {}
        self._expected: list[dict[Hashable, Sampler]] = []
        self._logits_kept = set[Hashable]()

    def budget(self) -> Budget:
        """Return a budget for what is really forwarded."""
        return self._meter.budget(self._cancelled)

    def expect(self, samplers: Sequence[Sampler]) -> None:
        """Write what these samplers draw together, once one of it is wanted.

        Args:
            samplers: Nobody else's: what a sampler draws hangs on what it drew before.
        """
        with self._lock:
            self._expected.append({sampler.state: sampler for sampler in samplers})

    def rows(
        self,
        rows: Sequence[Writing],
        window: int | None,
        write: Callable[[Sequence[Writing]], list[Completion]],
    ) -> list[Completion]:
        """Return what rows come to; those that nobody has written are written together.

        Args:
            rows: The rows.
            window: Of the engine: near its end the longest prompt leaves all rows the least room,
                so that what a row comes to hangs on the others.
            write: Writes rows.
        """
        keys = [key for row in rows if (key := _key(row)) is not None]
        if len(keys) < len(rows):
            return write(rows)
        longest = max((len(row.prompt) for row in rows), default=0)
        alike = len({prompt for prompt, _ in keys}) <= 1
        if not alike and any(longest + row.limits.max_tokens > (window or inf) for row in rows):
            return self._take({tuple(keys): rows}, lambda _: [write(rows)])[tuple(keys)]
        made = self._take(dict(zip(keys, rows, strict=True)), write, self._beside)
        return [made[key] for key in keys]

    def logits(
        self,
        prompts: Sequence[Sequence[int]],
        read: Callable[[Sequence[Sequence[int]]], torch.Tensor],
    ) -> torch.Tensor:
        """Return the logits of what follows each prompt, (rows, vocabulary)."""
        keys: list[Hashable] = [("logits", *prompt) for prompt in prompts]
        # Each a copy of its own, lest one keep all.
        wanted = dict(zip(keys, prompts, strict=True))
        made = self._take(wanted, lambda new: [row.clone() for row in read(new)])
        with self._lock:
            self._logits_kept.update(keys[: _LOGITS - len(self._logits_kept)])
            for key in keys:
                if key not in self._logits_kept:
                    self._made.pop(key, None)
        return torch.stack([made[key] for key in keys])

    def embedding(self, ids: Sequence[int], read: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Return the embedding of a prompt, (e,)."""
        key = ("embedding", *ids)
        return self._take({key: ids}, lambda _: [read()])[key]

    def _take(
        self,
        wanted: Mapping[Hashable, Wanted],
        make: Callable[[list[Wanted]], Sequence[Any]],
        beside: Callable[[Hashable, Wanted], Mapping[Hashable, Wanted]] = lambda _, __: {},
    ) -> dict[Hashable, Any]:
        """Return what is wanted by key: made here, at once, or by others.

        Args:
            wanted: What is wanted.
            make: Makes what nobody has made or is making.
            beside: What else is to be made with something; called with the lock held.
        """
        while True:
            with self._lock:
                new = {key: one for key, one in wanted.items() if key not in self._made}
                for key, one in list(new.items()):
                    more = beside(key, one)
                    new.update({key: more[key] for key in more if key not in self._made})
                self._made.update({key: Future() for key in new})
                futures = {key: self._made[key] for key in {*wanted, *new}}
            if new:
                # Before waiting: no two threads wait for each other.
                self._make({key: futures[key] for key in new}, list(new.values()), make)
            if all(futures[key].exception() is None for key in wanted):
                return {key: futures[key].result() for key in wanted}
            # It failed elsewhere, and is forgotten: here it may be made.

    def _make(
        self,
        futures: Mapping[Hashable, Future[Any]],
        wanted: list[Wanted],
        make: Callable[[list[Wanted]], Sequence[Any]],
    ) -> None:
        try:
            made = make(wanted)
        except BaseException as failure:
            with self._lock:
                for key in futures:
                    self._made.pop(key, None)  # one that nobody keeps is gone already
            for future in futures.values():
                future.set_exception(failure)
            raise
        for future, one in zip(futures.values(), made, strict=True):
            future.set_result(one)

    def _beside(self, key: Hashable, row: Writing) -> dict[Hashable, Writing]:
        """Return the rows that are expected with a row, each with a sampler of its own."""
        for place, samplers in enumerate(self._expected):
            if row.sampler.state in samplers:
                del self._expected[place]
                rows = [replace(row, sampler=sampler) for sampler in samplers.values()]
                return {other: one for one in rows if (other := _key(one)) != key}
        return {}


_Key = tuple[tuple[int, ...], Hashable]
"""Of a row: its prompt, and all else."""


def _key(row: Writing) -> _Key | None:
    """Return what an answer hangs on; None: on something of this call alone."""
    if row.on_token is not None or not row.sampler.free:
        return None
    others = (
        getattr(row, field.name)
        for field in fields(row)
        if field.name not in ("prompt", "sampler", "on_token")
    )
    hashable = (tuple(one) if isinstance(one, Sequence) else one for one in others)
    return (tuple(row.prompt), (row.sampler.state, *hashable))
