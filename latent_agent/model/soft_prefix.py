"""A soft prefix: a short text behind a prompt, whose states at one block's input are moved.

What follows attends to it, so it is an input of the model, where latents of an answer are outputs
(GradCuit, arXiv 2608.02585). An engine that can put states in there can write behind one; one whose
blocks give gradients can say how its states move the likelihood of an answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftPrefix:
    """A text with other states.

    Attributes:
        ids: The text's tokens, P of them.
        block: At whose input the states are put in their place, counted from 0.
        states: Those states, (P, d) float32.
    """

    ids: tuple[int, ...]
    block: int
    states: torch.Tensor


class SoftPass(Protocol):
    """One pass over answers behind soft prefixes, that can be taken back.

    Attributes:
        latents: Of each answer's tokens, (T, d) float32.
    """

    latents: Sequence[torch.Tensor]

    def pull_back(self, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        """Turn gradients with respect to `latents` into those to the states; once.

        Returns:
            The sum over the answers, (P, d) float32.
        """
        ...
