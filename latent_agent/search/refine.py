"""LatentSeek: policy gradient on the latents of an answer's first tokens.

arXiv 2505.13308, section 3: ascend ``J(z) = E[R(x, c)]`` with the REINFORCE gradient
``E[R(x, c) * grad log pi(x_t | z_t)]``, positions independent; decode; continue; score again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch

from latent_agent.errors import BudgetSpent, RewardError
from latent_agent.model.logits_mask import FREE, Constraint
from latent_agent.model.sampling import Sampler
from latent_agent.reward.base import Score
from latent_agent.search.adam import Adam
from latent_agent.search.boundary_step import to_the_edge
from latent_agent.search.policy_gradient import policy_gradient
from latent_agent.search.position_selection import updated
from latent_agent.search.prefix import Decode, read_prefix
from latent_agent.search.token_flip import flips, turned
from latent_agent.settings import Settings


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
    """

    prefix: tuple[int, ...]
    tokens: tuple[int, ...]
    text: str
    score: Score
    finish: str
    source: str = "search"


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

    def record(self, trials: Sequence[Trial], latents: torch.Tensor, threshold: float) -> bool:
        """Take in one round; return whether an answer passes the threshold by now."""
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
        settings: How it is searched, and for how long.
        on_step: Called after each gradient step.
        constraint: What may follow what in an answer.

    Returns:
        The best answer seen, with the path to it. A budget that ends, or a reward that fails, ends
        the search with the best answer so far; of a round, what was scored until then counts.
    """
    search = Search(ties=settings.ties, cut=settings.rest == "anew")
    try:
        start = None
        for start in starts:
            if search.record([start.trial], start.latents, settings.threshold):
                search.stopped = "threshold"
                return search
        if start is not None:
            walk = flip if settings.search == "flip" else ascend
            search.stopped = walk(search, start, space, attempt, settings, on_step, constraint)
    except BudgetSpent as spent:
        search.stopped = "threshold" if search.accepts(settings.threshold) else spent.reason
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
    adam, moving = Adam(z, settings.learning_rate), updated(z, space.logits, settings)
    decode = partial(read_prefix, space.decode, start.trial.prefix, settings)
    trials = [start.trial]
    for step in range(1, settings.max_iterations + 1):
        gradient = policy_gradient(z, trials, space, settings, constraint)
        before = z.clone() if settings.step == "margin" else None
        adam.ascend(gradient if moving is None else gradient * moving)
        if before is not None:
            z.copy_(_stretched(before, z - before, space, decode, constraint))
        search.iterations = step
        trials = []
        try:
            for sampler in _samplers(step, settings, constraint):
                trials.append(attempt(decode(z, sampler), sampler))
        except (BudgetSpent, RewardError):
            if trials:
                _ended(search, trials, z, settings, on_step)
            raise
        if ended := _ended(search, trials, z, settings, on_step):
            return ended
    return "iterations"


def flip(
    search: Search,
    start: Start,
    space: LatentSpace,
    attempt: Attempt,
    settings: Settings,
    on_step: Callable[[Search], None],
    constraint: Constraint,
) -> str:
    """Turn one token of the start after the other until an answer passes; return why it ended.

    What follows the turned token is written anew, so the prefix ends with it.
    """
    z, prefix = start.latents.detach(), start.trial.prefix
    sampler = Sampler(0.0, constraint=constraint)
    offered = flips(z, prefix, space.logits, constraint, settings.max_iterations)
    for step, (place, token) in enumerate(offered, 1):
        search.iterations = step
        trial = attempt((*prefix[:place], token), sampler)
        latents = torch.cat([z[:place], turned(z[place], token, space.logits)[None]])
        if ended := _ended(search, [trial], latents, settings, on_step):
            return ended
    return "iterations"


def _ended(
    search: Search,
    trials: Sequence[Trial],
    latents: torch.Tensor,
    settings: Settings,
    on_step: Callable[[Search], None],
) -> str | None:
    """Take in a step's answers, and tell of it; return why the search ends there, if it does."""
    search.rounds += 1
    passes = search.record(trials, latents, settings.threshold)
    on_step(search)
    if passes:
        return "threshold"
    since_draft = search.rewards[-search.rounds - 1 :]
    return "patience" if out_of_patience(since_draft, settings.patience) else None


def _stretched(
    z: torch.Tensor, step: torch.Tensor, space: LatentSpace, decode: Decode, constraint: Constraint
) -> torch.Tensor:
    sampler = Sampler(0.0, constraint=constraint)
    return to_the_edge(z, step, space.logits, lambda at: decode(at, sampler), constraint)


def out_of_patience(rewards: Sequence[float], patience: int | None) -> bool:
    """Whether the mean reward, of the draft first, has not risen for ``patience`` rounds."""
    if patience is None or len(rewards) <= patience:
        return False
    return max(rewards[-patience:]) <= max(rewards[:-patience])


def _samplers(step: int, settings: Settings, constraint: Constraint) -> list[Sampler]:
    return [
        Sampler(settings.temperature, settings.seed, step, sample, settings.top_p, constraint)
        for sample in range(settings.samples)
    ]
