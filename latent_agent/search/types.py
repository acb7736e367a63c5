"""What a search works with: answers and their latents, what it needs of a call, and its record."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import torch

from latent_agent.model.logits_mask import Constraint
from latent_agent.model.sampling import GREEDY, Sampler
from latent_agent.model.soft_prefix import SoftPass, SoftPrefix
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
        source: Where it comes from: ``draft``, ``sample`` (a sampled draft), ``prior``,
            ``memory`` or ``search``.
        calls: The tool calls that it makes.
        latents: Those that its prefix stands for, (N, d), where the search moves something else.
    """

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    score: Score
    finish: str
    source: str = "search"
    calls: Sequence[ToolCall] = ()
    latents: torch.Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Start:
    """An answer to search from.

    Attributes:
        trial: The answer, scored.
        latents: The latents that its prefix stands for, (N, d) float32.
        written: The latents of what follows the prefix, (T, d) float32; None: they are not known.
        neighbours: Ids of the traces that gave it.
    """

    trial: Trial
    latents: torch.Tensor
    written: torch.Tensor | None = None
    neighbours: tuple[int, ...] = ()

    @property
    def whole(self) -> torch.Tensor:
        """The latents of the answer's own first tokens, (N, d): `latents`, then `written`."""
        kept = self.latents[: len(self.trial.prefix)]
        if self.written is None or len(kept) == len(self.latents):
            return self.latents
        return torch.cat([kept, self.written])[: len(self.latents)]


class LatentSpace(Protocol):
    """What turns latents (N, d) into logits (N, vocabulary), and back; the engine does."""

    def logits(self, latents: torch.Tensor) -> torch.Tensor:
        """Return float32 logits."""
        ...

    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Turn a gradient (N, vocabulary) with respect to logits into one to latents, (N, d)."""
        ...


class Candidate(NamedTuple):
    """What an answer is written from: its first tokens, or a soft prefix before it."""

    prefix: tuple[int, ...] = ()
    sampler: Sampler = GREEDY
    soft: SoftPrefix | None = None


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

    def attempts(self, rows: Sequence[Candidate]) -> Iterator[Trial | None]:
        """Write whole answers, in one batch, and score them as one round.

        Yields:
            Each row's answer, in their order; None where the reward failed for it alone.

        Raises:
            BudgetSpent: If an answer cannot be finished or judged within the budgets.
            RewardError: If the reward fails for all of them.
        """
        ...

    def soft_prefix(self, text: str, depth: float) -> SoftPrefix:
        """Return a text behind the prompt, with its own states at a block's input.

        Args:
            text: The text.
            depth: Share of the blocks that lie before that one; 0: the embeddings.
        """
        ...

    def soft_pass(self, soft: SoftPrefix, answers: Sequence[tuple[int, ...]]) -> SoftPass:
        """Read answers behind the prompt and a soft prefix; see `SoftSequence.soft_pass`."""
        ...


Found = tuple[torch.Tensor, Sequence[Trial]]
"""What was tried, (N, d), and the answers that it led to."""


@dataclass(kw_only=True)
class SearchRecord:
    """The record of one search.

    Attributes:
        best: The best answer seen, with the latents that it was decoded from. None: nothing was
            scored.
        rewards: The reward of each answer, round by round: the starts first, then the search's.
        iterations: Rounds begun after the starts.
        rounds: Those of them in ``rewards``; a round that ended before any of its answers was
            scored is not.
        stopped: Why the search ended.
        error: What a failing reward said.
        ties: Of two answers with the same reward, which is best: the ``first`` or the
            ``shortest``.
        cut: Keep only the latents that the best answer's prefix was decoded from.
    """

    best: Start | None = None
    rewards: list[tuple[float, ...]] = field(default_factory=list[tuple[float, ...]])
    iterations: int = 0
    rounds: int = 0
    stopped: str = "iterations"
    error: str | None = None
    ties: str = "first"
    cut: bool = False

    def add_starts(self, starts: Sequence[Start], threshold: float) -> bool:
        """Add a round of starts; return whether the best answer passes the threshold."""
        self.rewards.append(tuple(start.trial.score.value for start in starts))
        for start in starts:
            self._consider(start, threshold)
        return self.accepts(threshold)

    def add_round(self, found: Sequence[Found], threshold: float) -> bool:
        """Add a round of the search; return whether the best answer passes the threshold."""
        self.rounds += 1
        self.rewards.append(tuple(trial.score.value for _, trials in found for trial in trials))
        for latents, trials in found:
            for trial in trials:
                its = latents if trial.latents is None else trial.latents
                self._consider(Start(trial=trial, latents=its), threshold)
        return self.accepts(threshold)

    def accepts(self, threshold: float) -> bool:
        """Whether the best answer passes the threshold."""
        return self.best is not None and self.best.trial.score.passes(threshold)

    def _consider(self, start: Start, threshold: float) -> None:
        if self.best is None or self.better(start.trial, self.best.trial, threshold):
            kept = start.latents[: len(start.trial.prefix)] if self.cut else start.latents
            self.best = replace(start, latents=kept.clone())

    def better(self, trial: Trial, best: Trial, threshold: float) -> bool:
        """Whether an answer goes before another: accepted before refused, then by reward."""
        ours, theirs = ((one.score.passes(threshold), one.score.value) for one in (trial, best))
        shorter = len(trial.tokens) < len(best.tokens)
        return ours > theirs or (self.ties == "shortest" and ours == theirs and shorter)
