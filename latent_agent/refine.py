"""LatentSeek: policy gradient on the latents of an answer's first tokens.

arXiv 2505.13308, section 3: ascend ``J(z) = E[R(x, c)]`` with the REINFORCE gradient
``E[R(x, c) * grad log pi(x_t | z_t)]``, positions independent; decode; continue; score again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch

from latent_agent.adam import Adam
from latent_agent.constraint import FREE, Constraint, mask_along
from latent_agent.errors import BudgetSpent, RewardError
from latent_agent.likelihood import Chosen, likelihood_gradient
from latent_agent.reward.base import Score
from latent_agent.sampling import Sampler
from latent_agent.settings import Settings

_ROWS = 8  # rows of logits held at a time


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One scored answer.

    Attributes:
        prefix: Answer tokens decoded from the latents, up to and with a stop token.
        tokens: All answer tokens.
        text: The answer's text.
        score: What the reward says of it.
        finish: Why the answer ended.
        road: Where it comes from: ``draft``, ``prior``, ``memory`` or ``refined``.
    """

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    score: Score
    finish: str
    road: str = "refined"


@dataclass(frozen=True, kw_only=True)
class Start:
    """An answer to search from: scored, with its first latents, (N, d) float32."""

    trial: Trial
    latents: torch.Tensor


class LatentSpace(Protocol):
    """What turns latents (N, d) into logits (N, vocabulary) and tokens; the backbone does."""

    def logits(self, latents: torch.Tensor) -> torch.Tensor:
        """Return float32 logits."""
        ...

    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Turn a gradient (N, vocabulary) with respect to logits into one to latents, (N, d)."""
        ...

    def decode(self, latents: torch.Tensor, sampler: Sampler) -> tuple[int, ...]:
        """Choose one token a latent, up to and with the first stop token."""
        ...


Attempt = Callable[[tuple[int, ...], Sampler], Trial]
"""Continues a prefix to a whole answer and scores it."""


@dataclass(kw_only=True)
class Search:
    """The record of one search.

    Attributes:
        best: The best answer seen, with the latents that it was decoded from; ties go to the
            earlier one. None: nothing was scored.
        rewards: Mean reward of each round: the starts first, then the gradient steps.
        iterations: Gradient steps taken.
        stopped: Why the search ended.
        error: What a failing reward said.
    """

    best: Start | None = None
    rewards: list[float] = field(default_factory=list[float])
    iterations: int = 0
    stopped: str = "iterations"
    error: str | None = None

    def record(self, trials: Sequence[Trial], latents: torch.Tensor, threshold: float) -> bool:
        """Take in one round; return whether an answer passes the threshold by now."""
        self.rewards.append(sum(trial.score.value for trial in trials) / len(trials))
        for trial in trials:
            if self.best is None or rank(trial, threshold) > rank(self.best.trial, threshold):
                self.best = Start(trial=trial, latents=latents.clone())
        return self.best is not None and self.best.trial.score.passes(threshold)


def refine(
    starts: Iterable[Start],
    space: LatentSpace,
    attempt: Attempt,
    settings: Settings,
    on_step: Callable[[Search], None] = lambda _: None,
    constraint: Constraint = FREE,
) -> Search:
    """Search the latents for an answer that passes the threshold.

    Args:
        starts: Answers to start from, taken in turn until one passes: warm starts, then the
            draft. The search goes on from the last: a warm start that failed led astray.
        space: Latents to logits and tokens.
        attempt: Continues a prefix and scores the answer.
        settings: Steps, samples, learning rate, threshold, patience.
        on_step: Called after each gradient step.
        constraint: What may follow what in an answer.

    Returns:
        The best answer seen, with the path to it. A budget that ends, or a reward that fails, ends
        the search with the best answer so far.
    """
    search = Search()
    try:
        start = None
        for start in starts:
            if search.record([start.trial], start.latents, settings.threshold):
                search.stopped = "threshold"
                return search
        if start is not None:
            search.stopped = ascend(search, start, space, attempt, settings, on_step, constraint)
    except BudgetSpent as spent:
        search.stopped = spent.reason
    except RewardError as failure:
        search.stopped, search.error = "reward_error", str(failure)
    return search


def ascend(
    search: Search,
    start: Start,
    space: LatentSpace,
    attempt: Attempt,
    settings: Settings,
    on_step: Callable[[Search], None],
    constraint: Constraint,
) -> str:
    """Take gradient steps from a start until an answer passes; return why they ended."""
    z = start.latents.detach().clone()
    adam = Adam(z, settings.learning_rate)
    trials: Sequence[Trial] = (start.trial,)
    for step in range(1, settings.max_iterations + 1):
        adam.ascend(policy_gradient(z, trials, space, settings, constraint))
        search.iterations = step
        trials = _try(z, step, space, attempt, settings, constraint)
        passes = search.record(trials, z, settings.threshold)
        on_step(search)
        if passes:
            return "threshold"
        if out_of_patience(search.rewards, settings.patience):
            return "patience"
    return "iterations"


@torch.no_grad()
def policy_gradient(
    z: torch.Tensor,
    trials: Sequence[Trial],
    space: LatentSpace,
    settings: Settings,
    constraint: Constraint = FREE,
) -> torch.Tensor:
    """Return the gradient of ``J`` at ``z``, (N, d): the mean over trials of R * grad log pi.

    ``pi`` is the policy that chose the tokens, so it is masked by the constraint: where only one
    token may follow, there was no choice to learn from, and the gradient is zero. Positions are
    independent, so a few rows are taken at a time: with a large vocabulary, the logits of all N
    would take more memory than the model's own work.
    """
    parts: list[torch.Tensor] = []
    for first in range(0, len(z), _ROWS):
        rows = z[first : first + _ROWS]
        logits = space.logits(rows).div_(settings.temperature or 1.0)
        pull = _logits_gradient(logits, first, trials, settings, constraint)
        parts.append(space.pull_back(rows, pull.div_(settings.temperature or 1.0)))
    return torch.cat(parts)


def _logits_gradient(
    logits: torch.Tensor,
    first: int,
    trials: Sequence[Trial],
    settings: Settings,
    constraint: Constraint,
) -> torch.Tensor:
    """Return the gradient with respect to some rows of logits, of which ``first`` is the first."""
    chosen = [
        Chosen(
            tokens=torch.tensor(
                trial.prefix[first : first + len(logits)], dtype=torch.long, device=logits.device
            ),
            weight=(trial.score.value + settings.reward_offset) / len(trials),
        )
        for trial in trials
    ]
    if constraint is FREE:
        return likelihood_gradient(logits, chosen)
    total = torch.zeros_like(logits)
    for trial, one in zip(trials, chosen, strict=True):
        masked = mask_along(constraint, logits, trial.prefix, first)
        total[: len(masked)] += likelihood_gradient(masked, [one])
    return total


def out_of_patience(rewards: Sequence[float], patience: int | None) -> bool:
    """Whether the mean reward has not risen for ``patience`` rounds."""
    if patience is None or len(rewards) <= patience:
        return False
    return max(rewards[-patience:]) <= max(rewards[:-patience])


def _try(
    z: torch.Tensor,
    step: int,
    space: LatentSpace,
    attempt: Attempt,
    settings: Settings,
    constraint: Constraint,
) -> list[Trial]:
    trials: list[Trial] = []
    for sample in range(settings.samples):
        sampler = Sampler(
            settings.temperature, settings.seed, step, sample, settings.top_p, constraint
        )
        trials.append(attempt(space.decode(z, sampler), sampler))
    return trials


def rank(trial: Trial, threshold: float) -> tuple[bool, float]:
    """Order trials: accepted before refused, then by reward."""
    return trial.score.passes(threshold), trial.score.value
