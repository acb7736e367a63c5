"""A step just long enough to change a token: what is shorter leaves the answer as it was.

The head is affine, so along a line the step at which a rival overtakes the chosen token is known in
closed form, as in DeepFool (Moosavi-Dezfooli et al. 2016, arXiv 1511.04599).
"""

from collections.abc import Callable, Sequence

import torch

from latent_agent.model.engine import ROWS
from latent_agent.model.logits_mask import Constraint, mask_along

PAST = 1.1  # a tenth past the edge: a memory packs latents, and what lies on the edge falls back
_DOUBLINGS = 30

Logits = Callable[[torch.Tensor], torch.Tensor]
Decode = Callable[[torch.Tensor], tuple[int, ...]]


@torch.no_grad()
def to_the_edge(
    z: torch.Tensor, step: torch.Tensor, logits: Logits, decode: Decode, constraint: Constraint
) -> torch.Tensor:
    """Return ``z + s * step``, (N, d), with ``s`` a tenth above the least that changes a token.

    The least is exact for an affine head, but for rounding. Where the head bends (soft caps), or
    rounding leaves every token as it was, ``s`` is doubled until one changes. Where no token lies
    ahead, the step is taken as it is.

    Args:
        z: Latents, (N, d).
        step: Where they would go, (N, d).
        logits: Latents (n, d) to logits (n, vocabulary).
        decode: Latents to the tokens that they stand for, greedily.
        constraint: What may follow what in an answer.
    """
    tokens = decode(z)
    factor = edge(z, step, tokens, logits, constraint)
    if factor == float("inf"):
        return z + step
    factor = max(factor * PAST, 1e-9)
    for _ in range(_DOUBLINGS):
        if decode(z + factor * step) != tokens:
            break
        factor *= 2
    return z + factor * step


def lengths(
    z: torch.Tensor,
    step: torch.Tensor,
    count: int,
    logits: Logits,
    decode: Decode,
    constraint: Constraint,
) -> list[torch.Tensor]:
    """Return up to ``count`` places further along ``z + s * step``, each with tokens of its own.

    The nearest first; fewer where no more tokens lie ahead. No token comes back on a line, since
    the logits of an affine head grow along it evenly.

    Args:
        z: Latents, (N, d).
        step: Which way, (N, d).
        count: How many places at most.
        logits: Latents (n, d) to logits (n, vocabulary).
        decode: Latents to the tokens that they stand for, greedily.
        constraint: What may follow what in an answer.
    """
    found: list[torch.Tensor] = []
    tokens = decode(z) if count else ()
    while len(found) < count:
        z = to_the_edge(z, step, logits, decode, constraint)
        if (ahead := decode(z)) == tokens:
            break
        found.append(z)
        tokens = ahead
    return found


def edge(
    z: torch.Tensor,
    step: torch.Tensor,
    tokens: Sequence[int],
    logits: Logits,
    constraint: Constraint,
) -> float:
    """Return the smallest ``s > 0`` at which ``z + s * step`` has other tokens; inf: there is none.

    Rows after the last token (a stop token) stand for nothing. Slopes are taken over a length like
    that of the latents: over a short step, what the logits gain is lost in their rounding.
    """
    if not bool(step.any()):
        return float("inf")
    length = max(1.0, float(z.norm() / step.norm()))
    nearest = float("inf")
    for first in range(0, len(tokens), ROWS):
        rows, some = z[first : first + ROWS], tokens[first : first + ROWS]
        now = mask_along(constraint, logits(rows), tokens, first)
        ahead = logits(rows + length * step[first : first + ROWS])[: len(some)]
        chosen = torch.tensor(some, device=z.device)
        nearest = min(nearest, length * overtaking(now, ahead, chosen))
    return nearest


def overtaking(now: torch.Tensor, ahead: torch.Tensor, chosen: torch.Tensor) -> float:
    """Return the smallest ``s > 0`` at which some row's chosen token is overtaken.

    Args:
        now: Logits at the start, (n, vocabulary); what may not follow is minus infinity.
        ahead: Logits one step on, (n, vocabulary).
        chosen: Each row's likeliest token at the start, (n,).
    """
    gain = ahead - now
    gap = now.gather(-1, chosen[:, None]) - now
    closing = gain - gain.gather(-1, chosen[:, None])
    allowed = now.isfinite() & (closing > 0)
    reached = torch.where(allowed, gap / closing, torch.inf)
    return float(reached.min())
