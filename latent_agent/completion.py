"""A prefix to a whole answer: token by token, to a stop token, a stop text or a limit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from latent_agent.backbone import Backbone
from latent_agent.errors import BudgetSpent
from latent_agent.meter import Stage
from latent_agent.sampling import Sampler
from latent_agent.sequence import CachedSequence
from latent_agent.stop_texts import holds_stop

Finish = Literal["stop", "length", "time", "tokens"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Where an answer ends: length in tokens, the window's room included, and stop texts."""

    max_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer: its tokens (a stop token included), text, latents (T, d), and why it ended."""

    tokens: tuple[int, ...]
    text: str
    latents: torch.Tensor
    finish: Finish


def complete(
    backbone: Backbone,
    sequence: CachedSequence,
    prompt: Sequence[int],
    prefix: Sequence[int],
    *,
    limits: Limits,
    sampler: Sampler,
    stage: Stage,
    on_token: Callable[[int], None] | None = None,
) -> Completion:
    """Continue ``prompt + prefix`` token by token to the end of the answer.

    Args:
        backbone: The frozen LM.
        sequence: Cached keys and values; whatever it shares with the prompt is not read again.
        prompt: Ids of the prompt.
        prefix: First ids of the answer; may be empty, may already end it.
        limits: Where the answer ends at the latest.
        sampler: Chooses each token.
        stage: Which part of the bill the forwarded tokens go to.
        on_token: Given each token as it is made.

    Returns:
        The answer; ``latents`` are those of the tokens after the prefix, (T - len(prefix), d)
        float32. If the budget is spent, the answer as far as it came.
    """
    tokens = list(prefix[: limits.max_tokens])
    latents: list[torch.Tensor] = []
    finish = _ended(backbone, tokens, limits, new=len(tokens))
    try:
        with sequence.growing():
            if finish is None:
                latents.append(sequence.read([*prompt, *tokens], stage))
            while finish is None:
                tokens.append(sampler.choose(sequence.logits(), tokens))
                if on_token is not None:
                    on_token(tokens[-1])
                finish = _ended(backbone, tokens, limits, new=1)
                if finish is None:
                    latents.append(sequence.extend(tokens[-1:], stage))
    except BudgetSpent as spent:
        finish = "time" if spent.reason == "time" else "tokens"
    text = cut_at_stop(backbone.text(tokens), limits.stop)
    stacked = torch.stack(latents) if latents else torch.empty(0)
    return Completion(tokens=tuple(tokens), text=text, latents=stacked, finish=finish)


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Cut a text before the first stop text in it."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text


def _ended(backbone: Backbone, tokens: list[int], limits: Limits, new: int) -> Finish | None:
    if tokens and tokens[-1] in backbone.stop_ids:
        return "stop"
    if holds_stop(backbone.text, tokens, limits.stop, new):
        return "stop"
    return "length" if len(tokens) >= limits.max_tokens else None
