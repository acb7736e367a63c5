"""Batches of rows that go on from one cached beginning."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

import torch
from transformers import DynamicCache

from latent_agent.model.budget import Budget, Stage
from latent_agent.model.engine import Writing
from latent_agent.model.generate import spread
from latent_agent.model.open_answer import PassOutput
from latent_agent.model.transformers_engine.batched_cache import SequenceGroup
from latent_agent.model.transformers_engine.caching_engine import CachingEngine


class PaddedRows:
    """A batch of rows that all go on from one cached beginning, padded on the left."""

    def __init__(
        self,
        engine: CachingEngine,
        budget: Budget,
        stage: Stage,
        cache: DynamicCache,
        tails: Sequence[Sequence[int]],
        mask: torch.Tensor | None = None,
    ) -> None:
        self._engine, self._budget, self._tails = engine, budget, tails
        self._stage: Stage = stage
        longest = max(len(tail) for tail in tails)
        padding = [longest - len(tail) for tail in tails]
        ids = [[0] * pad + list(tail) for pad, tail in zip(padding, tails, strict=True)]
        self._ids = torch.tensor(ids, device=engine.device)
        new = [[0] * pad + [1] * (longest - pad) for pad in padding]
        if mask is None:  # of what all share nothing is padding
            mask = torch.ones(len(tails), cache.get_seq_length(), dtype=torch.long)
        mask = torch.cat([mask.to(engine.device), torch.tensor(new, device=engine.device)], dim=-1)
        self._group = SequenceGroup(cache, mask)
        self._going = list(range(len(tails)))  # the rows of the group

    def branch(self, rows: Sequence[int], tails: Sequence[Sequence[int]]) -> "PaddedRows":
        """Read each row's own ids; return rows that go on from these."""
        self.read(latents=False)
        self._group.keep(rows)
        return PaddedRows(
            self._engine, self._budget, self._stage, self._group.cache, tails, self._group.mask
        )

    def joined(self, *, keep: bool) -> AbstractContextManager[None]:
        """Decode together with other calls until this is left; ``keep``: and then again."""
        return self._engine.scheduler.joined(self._group, keep=keep)

    def read(self, *, latents: bool) -> PassOutput:  # noqa: ARG002 - they come along
        """Read the tails."""
        mask = self._group.mask
        assert mask is not None
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -self._ids.shape[-1] :]
        with self._engine.scheduler.alone():
            self._budget.charge(self._stage, sum(len(tail) for tail in self._tails))
            states = self._states(mask, positions)
        last = states[:, -1].float()
        return last, self._engine.logits(last)

    def _states(self, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return self._engine.states(self._ids, self._group.cache, mask, positions)

    def step(self, tokens: Sequence[int | None]) -> PassOutput:
        """Read the next token of each row; one that has ended has left the batch."""
        going = [row for row in self._going if tokens[row] is not None]
        self._budget.charge(self._stage, len(going))
        if len(going) < len(self._going):
            kept = [place for place, row in enumerate(self._going) if tokens[row] is not None]
            self._engine.passes.narrow(self._group, kept)
            self._going = going
        self._group.ids = torch.tensor([[tokens[row]] for row in going], device=self._engine.device)
        latents, logits = self._engine.scheduler.step(self._group)
        return spread(latents, going, len(tokens)), spread(logits, going, len(tokens))


class SoftRows(PaddedRows):
    """A batch of rows that go on from one prompt, each behind a soft prefix of its own."""

    def __init__(
        self,
        engine: CachingEngine,
        budget: Budget,
        stage: Stage,
        cache: DynamicCache,
        rows: Sequence[Writing],
    ) -> None:
        soft = [row.soft for row in rows if row.soft is not None]
        super().__init__(engine, budget, stage, cache, [one.ids for one in soft])
        self._block, self._soft = soft[0].block, torch.stack([one.states for one in soft])

    @torch.no_grad()
    def _states(self, mask: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        ids, cache = self._ids, self._group.cache
        return self._engine.states_behind(ids, cache, self._block, self._soft, mask, positions)
