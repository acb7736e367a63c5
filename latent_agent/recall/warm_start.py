"""Where a question starts from: the draft's own latents, moved as similar past questions moved.

LatentEvolve (arXiv 2509.24771), equation 5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from latent_agent.settings import Settings
from latent_memory import FEEDBACK, Neighbour
from latent_memory.trace import Trace, Vector


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Latents to try before the draft.

    Attributes:
        latents: (N, d) float32.
        source: ``prior`` or ``memory``.
        neighbours: Ids of the traces whose journeys led there.
        all_kept: Whether all of their tokens are kept, whatever the settings say.
    """

    latents: torch.Tensor
    source: str
    neighbours: tuple[int, ...] = ()
    all_kept: bool = False


class Prior(Protocol):
    """A latent prior ``W``, as far as a warm start knows it (LatentEvolve, equation 8)."""

    def correct(self, embedding: Vector, base: torch.Tensor, /) -> torch.Tensor:
        """Return ``W(e, z_base)``, of the shape of ``base``."""
        ...


def warm_starts(
    embedding: Vector,
    base: torch.Tensor,
    neighbours: Sequence[Neighbour],
    prior: Prior | None,
    settings: Settings,
) -> list[WarmStart]:
    """Return what to try before the draft: the prior's guess, then the neighbours' on top of it.

    Then each neighbour's journey by itself, where a search begins at all starts.

    Args:
        embedding: The question's, raw, (e,).
        base: The draft's first latents, (N, d) float32.
        neighbours: What was recalled; may be empty.
        prior: The active prior; None: there is none.
        settings: Strength and temperature of the transfer.
    """
    if prior is None:
        strength, origin, starts = settings.momentum, base, []
    else:
        # What is left of a journey after the prior ends at no edge, so it is not made longer.
        strength, origin = 1.0, prior.correct(embedding, base)
        starts = [WarmStart(latents=origin, source="prior")]
    groups: list[Sequence[Neighbour]] = [neighbours] if neighbours else []
    if settings.starts == "all" and len(neighbours) > 1:
        groups += [[neighbour] for neighbour in neighbours]
    for group in groups:
        moved = momentum_transfer(
            origin,
            group,
            strength=strength,
            temperature=settings.momentum_temperature,
            prior=prior,
        )
        if bool(moved.isfinite().all()):  # a damaged neighbour may hold NaNs
            ids = tuple(neighbour.stored.id for neighbour in group)
            starts.append(WarmStart(latents=moved, source="memory", neighbours=ids))
    return starts


def as_it_was(neighbour: Neighbour, device: torch.device) -> WarmStart:
    """Return a start from where a trace of the same question ended."""
    latents = torch.from_numpy(neighbour.stored.trace.optimised).to(device)
    ids = (neighbour.stored.id,)
    return WarmStart(latents=latents, source="memory", neighbours=ids, all_kept=True)


def momentum_transfer(
    base: torch.Tensor,
    neighbours: Sequence[Neighbour],
    *,
    strength: float = 1.0,
    temperature: float = 1.0,
    prior: Prior | None = None,
) -> torch.Tensor:
    """Return ``z_0 = z_base + sum_j a_j s_j (z*_j - z_base_j)``, (N, d) float32.

    The weights ``a_j`` are proportional to ``exp(S_j / temperature)``, with ``S_j`` the
    similarity of neighbour ``j``, and for rated ones to ``1 + r_j``, with ``r_j`` the rating. The
    journey is transferred, not the destination; where lengths differ, the common positions are. No
    position moves further than its own length, so that journeys that follow each other cannot grow
    without bound; twice as far after rated neighbours: a correction is read after other tokens than
    the draft's, and may lie on the other side.

    Args:
        base: The draft's first latents, (N, d) float32.
        neighbours: At least one recalled trace.
        strength: Factor ``s_j`` on the journeys that a search made, which end as soon as an
            answer passes, just over the edge; 1 in the paper. Journeys that were themselves
            transferred are taken as they are.
        temperature: Of the softmax over similarities; 1 in the paper.
        prior: If ``base`` is what a prior made of the draft's latents, that prior: journeys begin
            at ``W(e_j, z_base_j)`` then, or the same correction would count twice.
    """
    similarities = torch.tensor([neighbour.similarity for neighbour in neighbours])
    trust = torch.tensor([trust_in(neighbour.stored.trace) for neighbour in neighbours])
    weights = torch.softmax(similarities / temperature + trust.log(), dim=0).tolist()
    move = torch.zeros_like(base)
    for weight, neighbour in zip(weights, neighbours, strict=True):
        trace = neighbour.stored.trace
        began = torch.from_numpy(trace.base)
        if prior is not None:
            began = prior.correct(trace.embedding, began)
        journey = (torch.from_numpy(trace.optimised) - began).to(base.device)
        common = min(len(base), len(journey))
        factor = 1.0 if _transferred(trace) else strength
        move[:common] += factor * weight * journey[:common]
    rated = (one.stored.trace.shelf.reward == FEEDBACK for one in neighbours)
    reach = 1.0 + sum(weight for weight, is_rated in zip(weights, rated, strict=True) if is_rated)
    longest = (
        reach * base.norm(dim=-1, keepdim=True) / move.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    )
    return base + move * longest.clamp_max(1.0)


def trust_in(trace: Trace) -> float:
    """Return how much a rated trace counts, in (0, 1]; what only a search judged counts as 1."""
    return max(1.0 + trace.score, 1e-6) if trace.shelf.reward == FEEDBACK else 1.0


def _transferred(trace: Trace) -> bool:
    """Whether no search made a trace's journey: a warm start's answer was the best.

    Older traces list all neighbours that were recalled, so their rewards must say it too.
    """
    warm = bool(trace.neighbours) or trace.prior is not None
    starts = trace.rewards[: len(trace.rewards) - trace.steps]
    return not trace.steps or (warm and any(trace.score in rewards for rewards in starts))
