"""GradCuit: policy gradient on a soft prefix, and the random walk that it has to beat.

arXiv 2608.02585: a short fixed text stands behind the prompt, and its states at the input of a
block are moved; block 0 takes its embeddings. The answer attends to them, so the gradient is that
of all its tokens' log-likelihood, ``R(x, c) * sum_t grad log pi(x_t | c, z, x_<t)``, through the
blocks above.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Self
from zlib import crc32

import torch

from latent_agent.model.sampling import Sampler, random_stream
from latent_agent.search.policy_gradient import advantages, likelihood_gradient, rewards_of
from latent_agent.search.types import Candidate, Searchable, Start
from latent_agent.search.walk import Walk
from latent_agent.settings import Settings

TEXT = "Let me work this out step by step, and check each step.\n\n"
_LONGER = 2.0  # each further length of a step is that of the one before, times this


class SoftLine(Walk):
    """One walk of a soft prefix along gradients.

    Args:
        call: What writes behind it, and reads answers there.
        settings: How it is moved.
        start: The answer that the first gradient is taken of.

    Attributes:
        z: Its states, (P, d).
        trials: The answers that the next gradient is taken of.
    """

    def __init__(self, call: Searchable, settings: Settings, start: Start) -> None:
        self._call, self._settings = call, settings
        self._soft = call.soft_prefix(TEXT, settings.soft_depth)
        super().__init__(self._soft.states.clone(), [start.trial], settings.learning_rate)

    def row(self, sampler: Sampler) -> Candidate:
        """Return what an answer is written from here."""
        return Candidate(sampler=sampler, soft=replace(self._soft, states=self.z))

    def step(self, count: int) -> Sequence[Self]:
        """Take one gradient step; return where it leads, at ``count`` lengths of it."""
        first = self._ascended(self._gradient())
        step = first.z - self.z
        further = [first._at(self.z + step * _LONGER**power) for power in range(1, count)]
        return [first, *further]

    def _gradient(self) -> torch.Tensor:
        """Return that of ``J``, (P, d): the mean over trials of R * grad log pi."""
        call, settings, trials = self._call, self._settings, self.trials
        soft = replace(self._soft, states=self.z)
        read = call.soft_pass(soft, [trial.tokens for trial in trials])
        weights = advantages(rewards_of(trials), settings)
        gradients = [
            likelihood_gradient(
                latents,
                [trial.tokens[: len(latents)]],
                [weight / len(trials)],
                call.engine,
                settings,
                call.constraint,
            )
            for latents, trial, weight in zip(read.latents, trials, weights, strict=True)
        ]
        return read.pull_back(gradients)


class SoftWalk(SoftLine):
    """One random walk of a soft prefix: steps as long as Adam's first one, to no side."""

    def __init__(self, call: Searchable, settings: Settings, start: Start) -> None:
        super().__init__(call, settings, start)
        self._drawn = itertools.count()  # of all places of this walk: none is tried twice
        self._stream = -1 - crc32(repr(start.trial.tokens).encode())  # nor by one beside it

    def step(self, count: int) -> Sequence[Self]:
        """Take one step; return ``count`` places that lie about as far from here."""
        places: list[Self] = []
        for _ in range(count):
            numbers = random_stream(self._settings.seed, next(self._drawn), self._stream)
            noise = torch.randn(self.z.shape, generator=numbers).to(self.z.device)
            places.append(self._at(self.z + self._settings.learning_rate * noise))
        return places
