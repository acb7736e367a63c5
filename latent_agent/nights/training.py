"""Training a latent prior: towards the winning tokens, and towards the optimised latents.

LatentEvolve (arXiv 2509.24771), equations 7 and 9, minimises ``|| W(e, z_base) - z* ||^2``. Only
the argmax tokens of the latents reach an answer, so the main term here is a cross-entropy through
the frozen LM head; the paper's is added with a small weight. No ground truth is needed.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import torch
from torch.nn import functional

from latent_agent.errors import PriorError
from latent_agent.nights.course import Course, FitReport
from latent_agent.nights.dataset import NO_TOKEN, Batch, Stream, batches
from latent_agent.recall.prior_network import LatentPrior

_LIKELIEST = 8  # of each probe


class LogitHead(Protocol):
    """The frozen LM head; the engine has it."""

    @property
    def vocabulary(self) -> int:
        """How many logits it makes."""
        ...

    def logits(self, latents: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Turn latents (M, d) into differentiable logits, of all tokens or of those named."""
        ...


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """How a prior is trained.

    Attributes:
        epochs: Readings of all traces at most.
        updates: Gradient steps at most, about: there are fewer epochs of many traces, and one of
            a random part of them where even that would be too many.
        batch: Traces in a gradient step.
        learning_rate: Of AdamW.
        weight_decay: Of AdamW.
        patience: Epochs without a smaller validation loss before training ends.
        latents_weight: Weight of the squared distance to the optimised latents.
        whole_vocabulary: Up to this size the cross-entropy runs over all tokens; above it, over
            a shortlist that a batch shares: its winners, the likeliest of some of its latents,
            before and after the correction, and random ones.
        probes: Latents of a batch whose likeliest tokens join the shortlist.
        negatives: Random tokens in the shortlist.
        seed: Of the order of the traces and of the random tokens.
    """

    epochs: int = 60
    updates: int = 1000
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    patience: int = 8
    latents_weight: float = 0.1
    whole_vocabulary: int = 4096
    probes: int = 16
    negatives: int = 256
    seed: int = 0

    def plan(self, traces: int) -> tuple[int, float]:
        """Return how often to read the traces, and the share of them to take each time."""
        readings = self.updates * self.batch / max(traces, 1)
        return max(1, min(self.epochs, int(readings))), min(1.0, readings)

    def steps(self, traces: int) -> int:
        """Return how many gradient steps that is at most, about."""
        epochs, share = self.plan(traces)
        return epochs * math.ceil(share * traces / self.batch)


def course_of(prior: LatentPrior, settings: FitSettings) -> Course:
    """Return the course of a training that has not begun."""
    adam = torch.optim.AdamW(
        prior.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    return Course(prior, adam, settings.seed)


def fit(
    prior: LatentPrior,
    stream: Stream,
    head: LogitHead,
    settings: FitSettings,
    traces: int,
    tick: Callable[[int], None] = lambda _: None,
    course: Course | None = None,
) -> FitReport:
    """Train a prior further, from the weights that it has.

    Args:
        prior: Is changed: it ends with the weights of the least validation loss.
        stream: All traces of a shelf; read twice an epoch.
        head: The frozen LM's head.
        settings: How to train.
        traces: How many there are to train on.
        tick: Given the number of gradient steps after each; what it raises ends the training.
        course: The training's own, by which it can be left and go on; None: a new one.

    Raises:
        PriorError: If no trace is for validation, or a loss is not finite.
    """
    epochs, share = settings.plan(traces)
    course = course or course_of(prior, settings)
    if course.report is None:
        course.begin(held_out_loss(prior, stream, head, settings))
    report = course.running
    while len(report.losses) < epochs and not _stuck(report, settings):
        epoch = batches(
            stream,
            prior.shape,
            settings.batch,
            vocabulary=head.vocabulary,
            part="train",
            rng=course.rng,
            share=share,
        )
        for batch in islice(epoch, course.taken, None):
            _learn(course.adam, prior, batch, head, settings, report.updates)
            report.updates += 1
            tick(report.updates)
        course.end_epoch(held_out_loss(prior, stream, head, settings))
    prior.load_state_dict(course.best)
    return report


def _stuck(report: FitReport, settings: FitSettings) -> bool:
    recent = report.losses[-settings.patience :]
    return len(report.losses) >= settings.patience and min(recent) > report.best


def _learn(
    adam: torch.optim.Optimizer,
    prior: LatentPrior,
    batch: Batch,
    head: LogitHead,
    settings: FitSettings,
    number: int,
) -> None:
    adam.zero_grad()
    value = loss(prior, batch.to(prior.device), head, settings, number)
    value.backward()
    torch.nn.utils.clip_grad_norm_(prior.parameters(), 1.0)
    adam.step()


@torch.no_grad()
def held_out_loss(
    prior: LatentPrior, stream: Stream, head: LogitHead, settings: FitSettings
) -> float:
    """Return the mean loss over the traces for validation; the gate's are not looked at.

    Raises:
        PriorError: If there are none, or the loss is not finite.
    """
    total, weight = 0.0, 0.0
    held = batches(
        stream, prior.shape, settings.batch, vocabulary=head.vocabulary, part="validation"
    )
    for number, batch in enumerate(held):
        here = float(batch.weight.sum())
        value = loss(prior, batch.to(prior.device), head, settings, number)
        total, weight = total + here * float(value), weight + here
    if not weight or not math.isfinite(total):
        raise PriorError(
            "training needs traces for validation with finite losses, got a loss of "
            f"{total!r} over a weight of {weight!r}; collect more traces, or train less fast"
        )
    return total / weight


def loss(
    prior: LatentPrior, batch: Batch, head: LogitHead, settings: FitSettings, number: int
) -> torch.Tensor:
    """Return the reward-weighted loss of a batch: cross-entropy, and distance to ``z*``.

    Args:
        prior: The prior.
        batch: Traces, on the prior's device.
        head: The frozen LM's head.
        settings: Weights and shortlist.
        number: Of the batch; decides the shortlist's random tokens.
    """
    moved = prior(batch.embedding, batch.base)
    distance = (moved - batch.optimised).square().mean(-1)
    known = batch.tokens != NO_TOKEN
    winners = batch.tokens[known]
    generator = torch.Generator().manual_seed(settings.seed * 1_000_003 + number)
    latents = torch.cat([batch.base[known], moved[known].detach()])
    tokens = shortlist(head, latents, winners, settings, generator)
    targets = winners if tokens is None else torch.searchsorted(tokens, winners)
    surprise = functional.cross_entropy(
        head.logits(moved[known], tokens), targets, reduction="none"
    )
    weights = batch.weight[:, None].expand(batch.tokens.shape)
    return _mean(surprise, weights[known]) + settings.latents_weight * _mean(
        distance[batch.present], weights[batch.present]
    )


@torch.no_grad()
def shortlist(
    head: LogitHead,
    latents: torch.Tensor,
    winners: torch.Tensor,
    settings: FitSettings,
    generator: torch.Generator,
) -> torch.Tensor | None:
    """Return the tokens that winners compete with, sorted; None: the whole vocabulary."""
    chosen = torch.randperm(len(latents), generator=generator)[: settings.probes]
    seen = head.logits(latents[chosen.to(latents.device)])
    vocabulary = seen.shape[-1]
    if vocabulary <= settings.whole_vocabulary:
        return None
    likeliest = seen.topk(_LIKELIEST).indices
    others = torch.randint(vocabulary, (settings.negatives,), generator=generator)
    return torch.cat([winners, likeliest.flatten(), others.to(winners.device)]).unique()


def _mean(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    return (values * weights).sum() / weights.sum()
