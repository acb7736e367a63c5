"""Adam on one tensor. torch's own loads its compiler at the first step: 80 MB, and a second."""

from copy import copy
from typing import Self

import torch

_KEEP, _KEEP_SQUARES, _EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Gradient ascent by Adam (arXiv 1412.6980), bit for bit as torch.optim.Adam does it.

    Args:
        z: What is moved, in place.
        learning_rate: Length of a step.
    """

    def __init__(self, z: torch.Tensor, learning_rate: float) -> None:
        self._z, self._rate, self._steps = z, learning_rate, 0
        self._mean, self._squares = torch.zeros_like(z), torch.zeros_like(z)

    def at(self, z: torch.Tensor) -> Self:
        """Return the same walk from another place ``z``, with what the steps so far left behind."""
        other = copy(self)
        other._z = z
        other._mean, other._squares = self._mean.clone(), self._squares.clone()
        return other

    @torch.no_grad()
    def ascend(self, gradient: torch.Tensor) -> None:
        """Take one step along a gradient of the shape of ``z``."""
        self._steps += 1
        down = -gradient
        self._mean.lerp_(down, 1 - _KEEP)
        self._squares.mul_(_KEEP_SQUARES).addcmul_(down, down, value=1 - _KEEP_SQUARES)
        step = self._rate / (1 - _KEEP**self._steps)
        correction = (1 - _KEEP_SQUARES**self._steps) ** 0.5
        spread = (self._squares.sqrt() / correction).add_(_EPSILON)
        self._z.addcdiv_(self._mean, spread, value=-step)
