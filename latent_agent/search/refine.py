"""LatentSeek: policy gradient on the latents of an answer's first tokens.

arXiv 2505.13308, section 3: ascend ``J(z) = E[R(x, c)]`` with the REINFORCE gradient
``E[R(x, c) * grad log pi(x_t | z_t)]``, positions independent; decode; continue; score again.
"""

from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Self

import torch

from latent_agent.errors import BudgetSpent, RewardError
from latent_agent.model.sampling import Sampler
from latent_agent.search.adam import Adam
from latent_agent.search.boundary_step import to_the_edge
from latent_agent.search.policy_gradient import policy_gradient
from latent_agent.search.position_selection import updated
from latent_agent.search.prefix import Decode, read_prefix
from latent_agent.search.token_flip import flips, turned
from latent_agent.search.types import Searchable, SearchRecord, Start, Trial
from latent_agent.settings import Settings


class _Ended(Exception):  # noqa: N818 - an event of the search, not a mistake
    """An answer is accepted, or patience is out."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Search:
    """Searches the latents for an answer that passes the threshold.

    A context manager: an accepted answer, a budget that is spent or a reward that fails leaves
    its ``with`` block, with the reason and the best answer so far in ``record``. Of a round that
    breaks off, what was scored until then counts.

    Args:
        call: Latents to tokens, and prefixes to scored answers.
        settings: How it is searched, and for how long.
        on_step: Called after each gradient step.
    """

    def __init__(
        self,
        call: Searchable,
        settings: Settings,
        on_step: Callable[[SearchRecord], None] = lambda _: None,
    ) -> None:
        self._call, self._settings, self._on_step = call, settings, on_step
        self._greedy = Sampler(0.0, constraint=call.constraint)
        self._start: Start | None = None
        self.record = SearchRecord(ties=settings.ties, cut=settings.rest == "anew")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None
    ) -> bool:
        record = self.record
        if isinstance(error, BudgetSpent):
            accepted = record.accepts(self._settings.threshold)
            record.stopped = "threshold" if accepted else error.reason
        elif isinstance(error, RewardError):
            record.stopped, record.error = "reward_error", str(error)
        elif isinstance(error, _Ended):
            record.stopped = error.reason
        else:
            return False
        return True

    def start_from(self, start: Start) -> None:
        """Search from this answer, unless it is accepted: then the search ends.

        The last start counts: a warm start that failed led astray.
        """
        self._start = start
        if self.record.add([start.trial], start.latents, self._settings.threshold):
            raise _Ended("threshold")

    def refine(self) -> None:
        """Take up to ``max_iterations`` steps from the last start."""
        assert self._start is not None
        walk = self._flip if self._settings.search == "flip" else self._ascend
        walk(self._start)

    def _ascend(self, start: Start) -> None:
        """Take gradient steps."""
        settings, space, constraint = self._settings, self._call.engine, self._call.constraint
        z = start.latents.detach().clone()
        adam, moving = Adam(z, settings.learning_rate), updated(z, space.logits, settings)
        decode = partial(read_prefix, self._call.decode, start.trial.prefix, settings)
        trials: Sequence[Trial] = [start.trial]
        for step in range(1, settings.max_iterations + 1):
            gradient = policy_gradient(z, trials, space, settings, constraint)
            before = z.clone() if settings.step == "margin" else None
            adam.ascend(gradient if moving is None else gradient * moving)
            if before is not None:
                greedily = partial(decode, sampler=self._greedy)
                z.copy_(to_the_edge(before, z - before, space.logits, greedily, constraint))
            self.record.iterations = step
            trials = self._round(step, z, decode)

    def _round(self, step: int, z: torch.Tensor, decode: Decode) -> Sequence[Trial]:
        """Score a gradient step's samples."""
        settings, trials = self._settings, list[Trial]()
        try:
            samplers = [
                Sampler(
                    settings.temperature,
                    settings.seed,
                    step,
                    sample,
                    settings.top_p,
                    self._call.constraint,
                )
                for sample in range(settings.samples)
            ]
            rows = [(decode(z, sampler), sampler) for sampler in samplers]
            trials.extend(self._call.attempts(rows))
        except (BudgetSpent, RewardError):
            if trials:
                self._add(trials, z)
            raise
        self._end_round(trials, z)
        return trials

    def _flip(self, start: Start) -> None:
        """Flip one token of the start after the other; what follows it is written again."""
        z, prefix, logits = start.latents.detach(), start.trial.prefix, self._call.engine.logits
        pairs = flips(z, prefix, logits, self._call.constraint, self._settings.max_iterations)
        for step, (place, token) in enumerate(pairs, 1):
            self.record.iterations = step
            trial = self._call.attempt((*prefix[:place], token), self._greedy)
            latents = torch.cat([z[:place], turned(z[place], token, logits)[None]])
            self._end_round([trial], latents)

    def _end_round(self, trials: Sequence[Trial], latents: torch.Tensor) -> None:
        if self._add(trials, latents):
            raise _Ended("threshold")
        since_draft = self.record.rewards[-self.record.rounds - 1 :]
        if out_of_patience(since_draft, self._settings.patience):
            raise _Ended("patience")

    def _add(self, trials: Sequence[Trial], latents: torch.Tensor) -> bool:
        """Record and report a step; return whether an answer is accepted."""
        self.record.rounds += 1
        accepted = self.record.add(trials, latents, self._settings.threshold)
        self._on_step(self.record)
        return accepted


def out_of_patience(rewards: Sequence[float], patience: int | None) -> bool:
    """Whether the mean reward, of the draft first, has not risen for ``patience`` rounds."""
    if patience is None or len(rewards) <= patience:
        return False
    return max(rewards[-patience:]) <= max(rewards[:-patience])
