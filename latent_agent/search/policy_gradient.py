"""The policy gradient of an answer's first tokens, and what each answer weighs in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from latent_agent.model.engine import ROWS
from latent_agent.model.logits_mask import FREE, Constraint, mask_along
from latent_agent.model.sampling import nucleus
from latent_agent.search.types import LatentSpace, Trial
from latent_agent.settings import Settings


def advantages(rewards: Sequence[float], settings: Settings) -> list[float]:
    """Return what each answer of a round weighs in the gradient.

    Without a baseline that is its reward, with the offset. With ``leave-one-out`` it is how far
    the reward lies above the mean of the round's others, which leaves the gradient's expectation
    as it is and makes it vary less (Kool et al. 2019, "Buy 4 REINFORCE samples, get a baseline
    for free!"; RLOO in Ahmadian et al. 2024, arXiv 2402.14740). Answers that are all as good as
    each other then give no gradient. An answer alone, as the start is, has no others.
    """
    if settings.baseline == "none" or len(rewards) == 1:
        return [reward + settings.reward_offset for reward in rewards]
    total, others = sum(rewards), len(rewards) - 1
    return [reward - (total - reward) / others for reward in rewards]


@torch.no_grad()
def policy_gradient(
    z: torch.Tensor,
    trials: Sequence[Trial],
    space: LatentSpace,
    settings: Settings,
    constraint: Constraint = FREE,
) -> torch.Tensor:
    """Return the gradient of ``J`` at ``z``, (N, d): the mean over trials of R * grad log pi."""
    weights = [one / len(trials) for one in advantages(rewards_of(trials), settings)]
    prefixes = [trial.prefix for trial in trials]
    return likelihood_gradient(z, prefixes, weights, space, settings, constraint)


def rewards_of(trials: Sequence[Trial]) -> list[float]:
    """Return what answers scored."""
    return [trial.score.value for trial in trials]


@torch.no_grad()
def likelihood_gradient(
    z: torch.Tensor,
    answers: Sequence[Sequence[int]],
    weights: Sequence[float],
    space: LatentSpace,
    settings: Settings,
    constraint: Constraint = FREE,
) -> torch.Tensor:
    """Return the gradient of the weighted sum of answers' log-likelihoods at ``z``, (N, d).

    ``pi`` is the policy that chose the tokens, so it is masked by the constraint, and holds no
    more than the nucleus where ``top_p`` cuts the sampling: where only one token may follow, there
    was no choice to learn from, and the gradient is zero. Positions are independent, so a few rows
    are taken at a time: with a large vocabulary, the logits of all N would take more memory than
    the model's own work.
    """
    top_p = settings.top_p if settings.temperature else 1.0  # greedy decoding has no nucleus
    parts: list[torch.Tensor] = []
    for first in range(0, len(z), ROWS):
        rows = z[first : first + ROWS]
        logits = space.logits(rows).div_(settings.temperature or 1.0)
        pull = _logits_gradient(logits, first, answers, weights, constraint, top_p)
        parts.append(space.pull_back(rows, pull.div_(settings.temperature or 1.0)))
    return torch.cat(parts)


def _logits_gradient(
    logits: torch.Tensor,
    first: int,
    answers: Sequence[Sequence[int]],
    weights: Sequence[float],
    constraint: Constraint,
    top_p: float,
) -> torch.Tensor:
    """Return the gradient with respect to some rows of logits, of which ``first`` is the first."""
    chosen = [
        Chosen(
            tokens=torch.tensor(
                answer[first : first + len(logits)], dtype=torch.long, device=logits.device
            ),
            weight=weight,
        )
        for answer, weight in zip(answers, weights, strict=True)
    ]
    if constraint is FREE:
        return softmax_gradient(nucleus(logits, top_p), chosen)
    total = torch.zeros_like(logits)
    for answer, one in zip(answers, chosen, strict=True):
        masked = mask_along(constraint, logits, answer, first)
        total[: len(masked)] += softmax_gradient(nucleus(masked, top_p), [one])
    return total


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Tokens that were chosen at the first positions, (n,), and what their likelihood weighs."""

    tokens: torch.Tensor
    weight: float


def softmax_gradient(logits: torch.Tensor, chosen: Sequence[Chosen]) -> torch.Tensor:
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
