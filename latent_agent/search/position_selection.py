"""Which positions of a prefix are updated: all, or only those where the answer forks.

Wang et al. 2025, "Beyond the 80/20 Rule" (arXiv 2506.01939): the few tokens of high entropy are
where a chain of thought takes one way or another, and training on the top 20% of them alone does
as well as training on all. The margin is the gap between the two likeliest tokens.
"""

import math
from collections.abc import Callable

import torch

from latent_agent.model.engine import ROWS
from latent_agent.settings import Settings


@torch.no_grad()
def updated(
    z: torch.Tensor, logits: Callable[[torch.Tensor], torch.Tensor], settings: Settings
) -> torch.Tensor | None:
    """Return 1 for the positions that are updated and 0 for the others, (N, 1); None: all are.

    At least one is: ``ceil(position_share * N)`` of them, ties going to the earlier ones.

    Args:
        z: Latents, (N, d).
        logits: Latents (n, d) to logits (n, vocabulary).
        settings: ``positions`` and ``position_share``.
    """
    if settings.positions == "all":
        return None
    measure = entropy if settings.positions == "entropy" else narrowness
    unsure = torch.cat([measure(logits(rows)) for rows in z.split(ROWS)])
    kept = math.ceil(settings.position_share * len(z))
    chosen = unsure.argsort(descending=True, stable=True)[:kept]
    return torch.zeros_like(z[:, :1]).index_fill_(0, chosen, 1.0)


def entropy(logits: torch.Tensor) -> torch.Tensor:
    """Return the entropy in nats of each row's distribution; logits (n, vocabulary)."""
    log_p = torch.log_softmax(logits, dim=-1)
    return -(log_p.exp() * log_p).sum(-1)


def narrowness(logits: torch.Tensor) -> torch.Tensor:
    """Return minus the gap between each row's two likeliest tokens; logits (n, vocabulary)."""
    best = logits.topk(2, dim=-1).values
    return best[:, 1] - best[:, 0]
