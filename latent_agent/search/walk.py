"""One walk of a search: places that steps lead to, and what is written there."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from copy import copy
from typing import Self

import torch

from latent_agent.model.sampling import Sampler
from latent_agent.search.adam import Adam
from latent_agent.search.types import Candidate, Trial


class Walk(ABC):
    """A walk. A step moves nothing: it leads to other places, each with Adam's state there.

    Args:
        z: Where it begins.
        trials: The answers that the first step learns from.
        learning_rate: Length of a step.

    Attributes:
        z: Where it is.
        trials: The answers that the next step learns from.
    """

    def __init__(self, z: torch.Tensor, trials: Sequence[Trial], learning_rate: float) -> None:
        self.z, self.trials = z, trials
        self._adam = Adam(z, learning_rate)

    @abstractmethod
    def row(self, sampler: Sampler) -> Candidate:
        """Return what an answer is written from here."""

    @abstractmethod
    def step(self, count: int) -> Sequence[Self]:
        """Take one step; return up to ``count`` places that it may lead to."""

    def seeing(self, trials: Sequence[Trial]) -> Self:
        """Return the same walk, whose next step learns from these answers."""
        other = copy(self)
        other.trials = trials
        return other

    def _at(self, z: torch.Tensor) -> Self:
        """Return the same walk at another place."""
        other = copy(self)
        other.z, other._adam = z, self._adam.at(z)
        return other

    def _ascended(self, gradient: torch.Tensor) -> Self:
        """Return where Adam's step along a gradient leads."""
        other = self._at(self.z.clone())
        other._adam.ascend(gradient)
        return other
