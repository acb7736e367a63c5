"""An engine whose sequences take from a pool what is in it, and book what they would cost alone."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from latent_agent.evaluation.answer_pool import AnswerPool
from latent_agent.evaluation.own_cost import OwnCost
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.engine import Completion, Engine, SoftSequence, TokenSequence, Writing
from latent_agent.model.soft_prefix import SoftPass, SoftPrefix


class PooledEngine(Engine):
    """Another engine, around a pool.

    Args:
        engine: Writes what the pool does not hold.
        pool: Of one question.
    """

    def __init__(self, engine: Engine, pool: AnswerPool) -> None:
        self._engine, self._pool = engine, pool
        for name in Engine.__annotations__:
            setattr(self, name, getattr(engine, name))

    def __getattr__(self, name: str) -> Any:
        """Return what is beyond the seam from the engine."""
        return getattr(self._engine, name)

    @property
    def identity(self) -> str:
        """The engine's."""
        return self._engine.identity

    @property
    def vocabulary(self) -> int:
        """The engine's."""
        return self._engine.vocabulary

    @property
    def width(self) -> int:
        """The engine's."""
        return self._engine.width

    def sequence(self, budget: Budget) -> "PooledSequence":
        """Return an empty sequence."""
        if "block_states" in self.capabilities:
            return SoftPooledSequence(self._engine, self._pool, budget)
        return PooledSequence(self._engine, self._pool, budget)

    def embed(self, prompts: Sequence[Sequence[int]]) -> list[torch.Tensor]:
        """Return the embeddings of prompts."""
        return self._engine.embed(prompts)

    def logits(self, latents: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Turn latents into logits."""
        return self._engine.logits(latents, tokens)

    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Turn a gradient of logits into one of latents."""
        return self._engine.pull_back(latents, gradient)


class PooledSequence(TokenSequence):
    """A sequence of one call.

    Args:
        engine: Writes what the pool does not hold.
        pool: Of the call's question.
        budget: The call's: it is charged as if the call were alone.
    """

    def __init__(self, engine: Engine, pool: AnswerPool, budget: Budget) -> None:
        self._pool, self._cost = pool, OwnCost(engine, budget)
        self._sequence, self._window = engine.sequence(pool.budget()), engine.context_window

    def embed(self, ids: Sequence[int], stage: Stage) -> torch.Tensor:
        """Return a prompt's embedding."""
        embedding = self._pool.embedding(ids, lambda: self._sequence.embed(ids, stage))
        self._cost.embedded(ids, stage)
        return embedding

    def write(self, rows: Sequence[Writing], stage: Stage) -> list[Completion]:
        """Return what each row comes to."""
        whole = [replace(row, on_end=None) for row in rows]  # others may want those cut off here
        answers = self._pool.rows(whole, self._window, lambda new: self._sequence.write(new, stage))
        return self._cost.written(rows, answers, stage)

    def next_logits(self, prompts: Sequence[Sequence[int]], stage: Stage) -> torch.Tensor:
        """Return the logits of what follows each prompt."""
        logits = self._pool.logits(prompts, lambda new: self._sequence.next_logits(new, stage))
        self._cost.judged(prompts, stage)
        return logits


class SoftPooledSequence(PooledSequence, SoftSequence):
    """The same, where the engine takes states at a block's input: nobody shares those."""

    def write(self, rows: Sequence[Writing], stage: Stage) -> list[Completion]:
        """Return what each row comes to."""
        if not any(row.soft is not None for row in rows):
            return super().write(rows, stage)
        answers = self._sequence.write(rows, stage)
        self._cost.behind(rows, answers, stage)
        return answers

    def block_states(
        self, prompt: Sequence[int], ids: Sequence[int], block: int, stage: Stage
    ) -> torch.Tensor:
        """Return the states of ids behind a prompt at a block's input."""
        self._cost.read_behind(prompt, len(ids), stage)
        return self._soft().block_states(prompt, ids, block, stage)

    def soft_pass(
        self,
        prompt: Sequence[int],
        soft: SoftPrefix,
        answers: Sequence[Sequence[int]],
        stage: Stage,
    ) -> SoftPass:
        """Read answers behind a prompt and a soft prefix."""
        tokens = sum(len(soft.ids) + len(one) for one in answers)
        self._cost.read_behind(prompt, tokens, stage)
        return self._soft().soft_pass(prompt, soft, answers, stage)

    def _soft(self) -> SoftSequence:
        assert isinstance(self._sequence, SoftSequence)
        return self._sequence
