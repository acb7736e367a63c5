"""The LM head: latents to logits, and a gradient of the logits back to the latents."""

from typing import Any

import torch
from torch.nn import functional

_PIECE = 8192  # rows of a half-precision weight that are widened at a time


class LMHead:
    """A linear layer, and what some architectures do to its scores: scale them, or cap them.

    Args:
        linear: Has a ``weight``, (vocabulary, d) of 16 bits or more, and a ``bias`` or None.
        scale: Factor on its scores.
        soft_cap: Bound that they approach; None: there is none.
    """

    def __init__(self, linear: Any, scale: float = 1.0, soft_cap: float | None = None) -> None:
        self._linear, self._scale, self._soft_cap = linear, scale, soft_cap

    @property
    def weight(self) -> torch.Tensor:
        """The linear layer's weight, (vocabulary, d), without its gradient."""
        return self._linear.weight.detach()

    @property
    def full_precision(self) -> bool:
        """Whether it computes in float32, where rows together are what they are one by one."""
        return self.weight.dtype == torch.float32

    def logits(self, latents: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Turn latents (N, d) into logits (N, vocabulary), float32 and differentiable.

        Args:
            latents: The latents, (N, d).
            tokens: Ids, (M,), to which the vocabulary is cut: the logits are (N, M) then.
        """
        weight, bias = self.weight, self._linear.bias
        if tokens is not None:
            weight, bias = weight[tokens], None if bias is None else bias[tokens]
        scores = functional.linear(latents.to(weight.dtype), weight, bias).float()
        if self._scale != 1.0:
            scores = scores * self._scale
        if self._soft_cap:
            scores = torch.tanh(scores / self._soft_cap) * self._soft_cap
        return scores

    @torch.no_grad()
    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Turn the gradient of a sum with respect to logits into that with respect to latents.

        No graph is kept, and sums are float32 whatever the weight is.

        Args:
            latents: Where the logits were taken, (N, d).
            gradient: With respect to `logits`, (N, vocabulary) float32; overwritten.

        Returns:
            The gradient with respect to the latents, (N, d) float32.
        """
        if self._soft_cap:  # the slope of cap * tanh(s / cap) is 1 - tanh(s / cap) ** 2
            capped = self.logits(latents).div_(self._soft_cap)
            gradient.addcmul_(gradient, capped.square_(), value=-1.0)
        if self._scale != 1.0:
            gradient.mul_(self._scale)
        if self.full_precision:
            return gradient @ self.weight
        pulled = torch.zeros_like(latents, dtype=torch.float32)
        pieces = zip(gradient.split(_PIECE, dim=-1), self.weight.split(_PIECE), strict=True)
        for columns, rows in pieces:
            pulled.addmm_(columns, rows.float())
        return pulled
