"""Token ids with cached keys and values: a prompt is read once, however many answers follow."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from transformers import DynamicCache

from latent_agent.model import generate
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.engine import Completion, SoftSequence, Writing
from latent_agent.model.generate import common_length
from latent_agent.model.open_answer import PassOutput
from latent_agent.model.soft_prefix import SoftPrefix
from latent_agent.model.transformers_engine.batched_cache import SequenceGroup
from latent_agent.model.transformers_engine.caching_engine import CachingEngine
from latent_agent.model.transformers_engine.padded_rows import PaddedRows, SoftRows
from latent_agent.model.transformers_engine.preallocated_cache import PreallocatedCache
from latent_agent.model.transformers_engine.prompt_pooling import pool
from latent_agent.model.transformers_engine.soft_states import AnswersRead

_ROWS = 64  # rows in one pass


class CachedSequence(SoftSequence):
    """One row of token ids whose keys and values are cached.

    `read` crops the cache back to what is shared with the new ids, so that a prompt is read once
    however many answers are tried after it.
    """

    def __init__(self, engine: CachingEngine, budget: Budget) -> None:
        self.engine = engine
        self._budget = budget
        self._cache = PreallocatedCache()
        self._ids: list[int] = []
        self._latents: torch.Tensor | None = None  # (1, d) after the ids, while they are known
        self._group: SequenceGroup | None = None  # while `batched`
        self._most = 1

    def embed(self, ids: Sequence[int], stage: Stage) -> torch.Tensor:
        """Read a prompt into the empty cache and return its embedding, (d,) float32."""
        with self.engine.scheduler.alone():
            self._budget.charge(stage, len(ids))
            last, layers = self.engine.layers(self._row(ids), self._cache)
        self._ids, self._latents = list(ids), last[:, -1].float()
        return pool(layers)

    def write(self, rows: Sequence[Writing], stage: Stage) -> list[Completion]:
        """Write each row's answer, all at once.

        A row that has ended goes on with padding: the longest prompt leaves the least room.
        """
        window = self.engine.context_window
        longest = max((_before(row) + row.limits.max_tokens for row in rows), default=0)
        self._most = self.engine.rows_at_once(min(len(rows), _ROWS), longest)
        if len(rows) > 1 and window is not None:
            rows = [_shortened(row, window - max(map(_before, rows))) for row in rows]
        if any(row.soft is not None for row in rows):
            return self._write_behind(rows, stage)
        return generate.write(self, rows, stage)

    def _write_behind(self, rows: Sequence[Writing], stage: Stage) -> list[Completion]:
        """Write answers behind soft prefixes; their common prompt is read once."""

        def fork(block: Sequence[Writing]) -> SoftRows:
            self.hold(rows[0].prompt, stage)
            return SoftRows(self.engine, self._budget, stage, self._branch(len(block)), block)

        return generate.write_forked(self, rows, fork)

    def block_states(
        self, prompt: Sequence[int], ids: Sequence[int], block: int, stage: Stage
    ) -> torch.Tensor:
        """Return the states of ids behind a prompt at a block's input, (P, d) float32."""
        self.hold(prompt, stage)
        with self.engine.scheduler.alone():
            self._budget.charge(stage, len(ids))
            return self.engine.block_states(self._row(ids), self._branch(1), block)[0].float()

    def soft_pass(
        self,
        prompt: Sequence[int],
        soft: SoftPrefix,
        answers: Sequence[Sequence[int]],
        stage: Stage,
    ) -> AnswersRead:
        """Read answers behind a prompt and a soft prefix, in one pass with gradients.

        Answers are padded at their end, where a causal model does not look.
        """
        self.hold(prompt, stage)
        longest = max(map(len, answers))
        padded = [[*soft.ids, *one, *[0] * (longest - len(one))] for one in answers]
        ids = torch.tensor(padded, device=self.engine.device)
        states = soft.states.detach().requires_grad_()
        cache = self._branch(len(answers), DynamicCache())  # written in place, ours keeps no graph
        with self.engine.scheduler.alone(), torch.enable_grad():
            self._budget.charge(stage, sum(len(soft.ids) + len(one) for one in answers))
            rows = states.expand(len(answers), -1, -1)
            output = self.engine.states_behind(ids, cache, soft.block, rows)
        return AnswersRead(states, output, [len(one) for one in answers], self._back)

    def _back(
        self, output: torch.Tensor, states: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        with self.engine.scheduler.alone():
            return self.engine.back(output, states, gradient)

    def next_logits(self, prompts: Sequence[Sequence[int]], stage: Stage) -> torch.Tensor:
        """Return the logits of what follows each prompt, (rows, vocabulary)."""
        longest = max(map(len, prompts), default=0)
        self._most = self.engine.rows_at_once(min(len(prompts), _ROWS), longest)
        return generate.next_logits(self, prompts, stage)

    @property
    def rows_at_once(self) -> int:
        """How many rows are forked: padding would stretch a sliding window, so of those one."""
        return 1 if self.engine.slides else self._most

    def hold(self, ids: Sequence[int], stage: Stage) -> None:
        """Make this sequence hold ``ids``, or nothing."""
        if not ids:
            self._cache, self._ids, self._latents = PreallocatedCache(), [], None
        elif self._latents is None or self._ids != list(ids):
            keep = min(common_length([self._ids, ids]), len(ids) - 1)
            self._crop(keep)
            with self.engine.scheduler.alone():
                self._budget.charge(stage, len(ids) - keep)
                states = self.engine.states(self._row(ids[keep:]), self._cache)
            self._ids += ids[keep:]
            self._latents = states[:, -1].float()

    def read(self, ids: Sequence[int], stage: Stage, *, latents: bool = True) -> PassOutput:  # noqa: ARG002 - they come along
        """Make this sequence hold ``ids``; return what follows them."""
        self.hold(ids, stage)
        assert self._latents is not None
        return self._latents, self.engine.logits(self._latents)

    def extend(self, token: int, stage: Stage) -> PassOutput:
        """Append a token and return what follows it; while `batched`."""
        assert self._group is not None
        self._budget.charge(stage, 1)
        self._group.ids = self._row([token])
        self._latents, logits = self.engine.scheduler.step(self._group)
        self._ids.append(token)
        return self._latents, logits

    @contextmanager
    def batched(self) -> Generator[None]:
        """Read single tokens in one batch with other calls, until this is left."""
        self._group = SequenceGroup(self._cache)
        try:
            with self.engine.scheduler.joined(self._group, keep=True):
                yield
        finally:
            self._group = None

    def fork(self, tails: Sequence[Sequence[int]], stage: Stage) -> "PaddedRows":
        """Return rows that all go on from here."""
        return PaddedRows(self.engine, self._budget, stage, self._branch(len(tails)), tails)

    def _branch(self, rows: int, cache: DynamicCache | None = None) -> DynamicCache:
        """Copy the cache for a batch of rows that all go on from here."""
        cache = PreallocatedCache() if cache is None else cache
        layers: list[Any] = self._cache.layers
        for index, layer in enumerate(layers):
            if layer.is_initialized:  # some architectures share states between layers
                keys, values = (
                    states.expand(rows, -1, -1, -1) for states in (layer.keys, layer.values)
                )
                cache.update(keys, values, index)
        return cache

    def _row(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor([list(ids)], device=self.engine.device)

    def _crop(self, length: int) -> None:
        if surplus := len(self._ids) - length:
            self._cache.crop(-surplus)
            del self._ids[length:]
            self._latents = None


def _before(row: Writing) -> int:
    """Return how many positions stand before a row's answer."""
    return len(row.prompt) + (0 if row.soft is None else len(row.soft.ids))


def _shortened(row: Writing, room: int) -> Writing:
    """Return a row that ends where there is no more room."""
    return replace(row, limits=replace(row.limits, max_tokens=min(row.limits.max_tokens, room)))
