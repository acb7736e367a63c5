"""A search without a gradient: the token that the draft was least sure of is turned to its rival.

Only a prefix's tokens reach the answer, so they can be changed as they are. What Wang and Zhou
2024 ("Chain-of-Thought Reasoning without Prompting", arXiv 2402.10200) do at an answer's first
token, branching to the likeliest others, is done here at all of the prefix, smallest gap first.
"""

from collections.abc import Sequence

import torch

from latent_agent.model.engine import ROWS
from latent_agent.model.logits_mask import Constraint, mask_along
from latent_agent.search.boundary_step import PAST, Logits

_MOVES = 50


@torch.no_grad()
def flips(
    z: torch.Tensor, tokens: Sequence[int], logits: Logits, constraint: Constraint, count: int
) -> list[tuple[int, int]]:
    """Return up to ``count`` pairs (position, other token), the smallest gap first.

    Args:
        z: The draft's first latents, (N, d).
        tokens: The draft's tokens at these positions.
        logits: Latents (n, d) to logits (n, vocabulary).
        constraint: What may follow what in an answer; only that is offered.
        count: How many at most.
    """
    candidates: list[tuple[float, int, int]] = []
    for first in range(0, len(tokens), ROWS):
        rows = mask_along(constraint, logits(z[first : first + ROWS]), tokens, first)
        likeliest = rows.topk(min(count + 1, rows.shape[-1]), dim=-1)
        gaps = likeliest.values[:, :1] - likeliest.values[:, 1:]
        rivals = likeliest.indices[:, 1:]
        candidates += [
            (gap, first + row, rival)
            for row, pairs in enumerate(zip(gaps.tolist(), rivals.tolist(), strict=True))
            for gap, rival in zip(*pairs, strict=True)
            if gap < float("inf")
        ]
    candidates.sort(key=lambda one: one[0])  # stable: ties keep their place, likelier token first
    return [(place, rival) for _, place, rival in candidates[:count]]


@torch.enable_grad()
def turned(row: torch.Tensor, token: int, logits: Logits) -> torch.Tensor:
    """Move one latent (d,) just far enough that ``token`` is its likeliest; unmoved if it never is.

    DeepFool (Moosavi-Dezfooli et al. 2016, arXiv 1511.04599): step over the edge to the rival
    that is ahead, again and again. So a flip leaves latents behind that a memory can transfer.
    """
    moved = row.detach().clone()
    for _ in range(_MOVES):
        moved.requires_grad_()
        scores = logits(moved[None])[0]
        ahead = int(scores.argmax())
        if ahead == token:
            return moved.detach()
        gap = scores[ahead] - scores[token]
        (slope,) = torch.autograd.grad(gap, moved)
        length = float(slope.square().sum())
        if length == 0:
            break
        moved = moved.detach() - (PAST * float(gap.detach()) + 1e-6) / length * slope
    return row.detach()
