"""What may follow: a constraint on an answer's tokens, as the search and the generation know it."""

from collections.abc import Sequence
from typing import Protocol

import torch


class Constraint(Protocol):
    """Masks logits. A function of the tokens before them, so that every prefix can be tried."""

    def mask(self, logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        """Return logits, (vocabulary,), with all that may not follow ``tokens`` at minus infinity.

        Args:
            logits: Of the next token, (vocabulary,); left as they are.
            tokens: The answer so far, which the constraint allowed.
        """
        ...


class _Free:
    def mask(self, logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:  # noqa: ARG002
        return logits


FREE: Constraint = _Free()
"""Allows everything."""


def mask_along(
    constraint: Constraint, logits: torch.Tensor, tokens: Sequence[int], first: int = 0
) -> torch.Tensor:
    """Mask each position's logits (n, vocabulary) by the tokens chosen before it; differentiable.

    Args:
        constraint: What may follow.
        logits: Of some positions of an answer in a row.
        tokens: The answer's first tokens; positions after them are cut off.
        first: Which position the first row of ``logits`` belongs to.
    """
    rows = logits[: max(0, len(tokens) - first)]
    if constraint is FREE or len(rows) == 0:
        return rows
    masked = [constraint.mask(row, tokens[: first + t]) for t, row in enumerate(rows)]
    return torch.stack(masked)
