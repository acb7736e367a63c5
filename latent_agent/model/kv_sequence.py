"""Token ids with cached keys and values: a prompt is read once, however many answers follow."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers import DynamicCache

from latent_agent.model.backbone import Backbone
from latent_agent.model.batched_cache import SequenceGroup
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.preallocated_cache import PreallocatedCache
from latent_agent.model.prompt_pooling import pool


class CachedSequence:
    """One row of token ids whose keys and values are cached.

    `read` crops the cache back to what is shared with the new ids, so that a prompt is read once
    however many answers are tried after it.
    """

    def __init__(self, backbone: Backbone, budget: Budget) -> None:
        self._backbone = backbone
        self._budget = budget
        self._cache = PreallocatedCache()
        self._ids: list[int] = []
        self._latent: torch.Tensor | None = None  # the latent after the ids, while it is known
        self._logits: torch.Tensor | None = None  # of that latent, if they were made with it
        self._group: SequenceGroup | None = None  # while `batched`

    def embed(self, ids: Sequence[int], stage: Stage) -> torch.Tensor:
        """Read a prompt into the empty cache and return its embedding, (d,) float32."""
        with self._backbone.scheduler.alone():
            self._budget.charge(stage, len(ids))
            last, layers = self._backbone.layers(self._row(ids), self._cache)
        self._ids, self._latent = list(ids), last[0, -1].float()
        return pool(layers)

    def read(self, ids: Sequence[int], stage: Stage) -> torch.Tensor:
        """Make this sequence hold ``ids`` and return the latent after them, (d,) float32."""
        if self._latent is not None and self._ids == list(ids):
            return self._latent
        keep = min(common_length([self._ids, ids]), len(ids) - 1)
        self._crop(keep)
        return self.extend(ids[keep:], stage)

    def extend(self, ids: Sequence[int], stage: Stage) -> torch.Tensor:
        """Append ``ids`` and return the latent after them, (d,) float32."""
        scheduler = self._backbone.scheduler
        if self._group is not None and len(ids) == 1:
            self._budget.charge(stage, 1)
            latents, logits = scheduler.step(self._group, self._row(ids))
            self._latent, self._logits = latents[0], logits[0]
        else:
            with scheduler.alone():
                self._budget.charge(stage, len(ids))
                states = self._backbone.states(self._row(ids), self._cache)
            self._latent, self._logits = states[0, -1].float(), None
        self._ids += ids
        return self._latent

    @contextmanager
    def batched(self) -> Generator[None]:
        """Read single tokens in one batch with other calls, until this is left."""
        self._group = SequenceGroup(self._cache)
        try:
            with self._backbone.scheduler.joined(self._group, keep=True):
                yield
        finally:
            self._group = None

    def logits(self) -> torch.Tensor:
        """Return the logits of the token that follows, (vocabulary,)."""
        if self._logits is None:
            assert self._latent is not None
            self._logits = self._backbone.logits(self._latent[None])[0]
        return self._logits

    def branch(self, rows: int) -> DynamicCache:
        """Copy the cache for a batch of rows that all go on from here."""
        cache = PreallocatedCache()
        layers: list[Any] = self._cache.layers
        for index, layer in enumerate(layers):
            if layer.is_initialized:  # some architectures share states between layers
                keys, values = (
                    states.expand(rows, -1, -1, -1) for states in (layer.keys, layer.values)
                )
                cache.update(keys, values, index)
        return cache

    def _row(self, ids: Sequence[int]) -> torch.Tensor:
        return torch.tensor([list(ids)], device=self._backbone.device)

    def _crop(self, length: int) -> None:
        if surplus := len(self._ids) - length:
            self._cache.crop(-surplus)
            del self._ids[length:]
            self._latent = self._logits = None


def common_length(rows: Sequence[Sequence[int]]) -> int:
    """Return how many leading ids all rows share."""
    shared = 0
    for column in zip(*rows, strict=False):
        if any(token != column[0] for token in column):
            break
        shared += 1
    return shared
