"""What a search works with: answers and their latents, what it needs of a call, and its record."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from latent_agent.model.logits_mask import Constraint
from latent_agent.model.sampling import Sampler
from latent_agent.reward.base import Score
from latent_agent.tools.call import ToolCall


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One scored answer.

    Attributes:
        prefix: Answer tokens decoded from the latents, up to and with a stop token.
        tokens: All answer tokens.
        text: The answer's text.
        score: What the reward says of it.
        finish: Why the answer ended.
        source: Where it comes from: ``draft``, ``prior``, ``memory`` or ``search``.
        calls: The tool calls that it makes.
    """

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    score: Score
    finish: str
    source: str = "search"
    calls: Sequence[ToolCall] = ()


@dataclass(frozen=True, kw_only=True)
class Start:
    """An answer to search from: scored, with its first latents, (N, d) float32."""

    trial: Trial
    latents: torch.Tensor


class LatentSpace(Protocol):
    """What turns latents (N, d) into logits (N, vocabulary), and back; the engine does."""

    def logits(self, latents: torch.Tensor) -> torch.Tensor:
        """Return float32 logits."""
        ...

    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Turn a gradient (N, vocabulary) with respect to logits into one to latents, (N, d)."""
        ...


Row = tuple[tuple[int, ...], Sampler]
"""A prefix, and what chooses the tokens after it."""


class Searchable(Protocol):
    """What a search needs of a call."""

    @property
    def engine(self) -> LatentSpace:
        """Latents to logits."""
        ...

    @property
    def constraint(self) -> Constraint:
        """What may follow what in an answer."""
        ...

    def decode(self, latents: torch.Tensor, sampler: Sampler) -> tuple[int, ...]:
        """Choose a token for each latent (N, d), up to and with the first stop token."""
        ...

    def attempt(self, prefix: tuple[int, ...], sampler: Sampler) -> Trial:
        """Continue a prefix to a whole answer and score it; raises what `attempts` does."""
        ...

    def attempts(self, rows: Sequence[Row]) -> Iterator[Trial]:
        """Continue prefixes to whole answers, in one batch, and score one after the other.

        Raises:
            BudgetSpent: If the answer cannot be finished or judged within the budgets.
            RewardError: If the reward breaks its contract.
        """
        ...


@dataclass(kw_only=True)
class SearchRecord:
    """The record of one search.

    Attributes:
        best: The best answer seen, with the latents that it was decoded from. None: nothing was
            scored.
        rewards: Mean reward of each round: the starts first, then the gradient steps.
        iterations: Gradient steps taken.
        rounds: Gradient steps in ``rewards``; a step that ended before any of its answers was
            scored is not.
        stopped: Why the search ended.
        error: What a failing reward said.
        ties: Of two answers with the same reward, which is best: the ``first`` or the
            ``shortest``.
        cut: Keep only the latents that the best answer's prefix was decoded from.
    """

    best: Start | None = None
    rewards: list[float] = field(default_factory=list[float])
    iterations: int = 0
    rounds: int = 0
    stopped: str = "iterations"
    error: str | None = None
    ties: str = "first"
    cut: bool = False

    def add(self, trials: Sequence[Trial], latents: torch.Tensor, threshold: float) -> bool:
        """Add one round; return whether the best answer passes the threshold."""
        self.rewards.append(sum(trial.score.value for trial in trials) / len(trials))
        for trial in trials:
            if self.best is None or self._better(trial, self.best.trial, threshold):
                kept = latents[: len(trial.prefix)] if self.cut else latents
                self.best = Start(trial=trial, latents=kept.clone())
        return self.accepts(threshold)

    def accepts(self, threshold: float) -> bool:
        """Whether the best answer passes the threshold."""
        return self.best is not None and self.best.trial.score.passes(threshold)

    def _better(self, trial: Trial, best: Trial, threshold: float) -> bool:
        # What is accepted goes before what is refused, then the higher reward.
        ours, theirs = ((one.score.passes(threshold), one.score.value) for one in (trial, best))
        shorter = len(trial.tokens) < len(best.tokens)
        return ours > theirs or (self.ties == "shortest" and ours == theirs and shorter)
