"""The gradient of log-likelihoods with respect to logits, in the logits' own memory."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Tokens that were chosen at the first positions, (n,), and what their likelihood weighs."""

    tokens: torch.Tensor
    weight: float


def likelihood_gradient(logits: torch.Tensor, chosen: Sequence[Chosen]) -> torch.Tensor:
    """Return the gradient of ``sum_k weight_k * sum_t log softmax(logits_t)[token_kt]``.

    At each position that is ``sum_k weight_k * (onehot(token_k) - p)``. With a large vocabulary
    every copy of the logits counts, so they are overwritten: first by ``p``, then by the result.

    Args:
        logits: Of n positions, (n, vocabulary) float32; overwritten.
        chosen: What was chosen at these positions; may hold fewer tokens than there are positions.
    """
    logits.sub_(logits.amax(-1, keepdim=True)).exp_()
    weights = logits.new_zeros(len(logits), 1)
    for one in chosen:
        weights[: len(one.tokens)] += one.weight
    gradient = logits.mul_(-weights / logits.sum(-1, keepdim=True))
    for one in chosen:
        tokens = one.tokens[:, None]
        gradient[: len(tokens)].scatter_add_(
            -1, tokens, gradient.new_full(tokens.shape, one.weight)
        )
    return gradient
