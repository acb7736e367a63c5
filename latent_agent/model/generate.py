"""A prefix to a whole answer: token by token, to a stop token, a stop text or a limit."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from latent_agent.errors import BudgetSpent
from latent_agent.model.backbone import Backbone
from latent_agent.model.budget import Stage
from latent_agent.model.kv_sequence import CachedSequence
from latent_agent.model.sampling import Sampler
from latent_agent.model.stop_strings import holds_stop
from latent_agent.model.thinking import Thinking

Finish = Literal["stop", "length", "time", "tokens"]


@dataclass(frozen=True, kw_only=True)
class AnswerLimits:
    """Where an answer ends: length in tokens, the window's room included, and stop texts.

    A thought counts towards the length, and no stop text ends it.
    """

    max_tokens: int
    stop: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Completion:
    """An answer: its tokens (a stop token included), text, latents (T, d), and why it ended.

    The text holds no thought; ``thought_finished`` is False if there is nothing but one.
    """

    tokens: tuple[int, ...]
    text: str
    latents: torch.Tensor
    finish: Finish
    thought_finished: bool = True


def complete(
    backbone: Backbone,
    sequence: CachedSequence,
    prompt: Sequence[int],
    prefix: Sequence[int],
    *,
    limits: AnswerLimits,
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
        stage: Where the budget books the forwarded tokens.
        on_token: Given each token of the answer as it is made; those of a thought are left out.

    Returns:
        The answer; ``latents`` are those of the tokens after the prefix, (T - len(prefix), d)
        float32. If the budget is spent, the answer up to there.
    """
    tokens = list(prefix[: limits.max_tokens])
    latents: list[torch.Tensor] = []
    thinking = Thinking(backbone, prompt)
    begins = thinking.answer_at(tokens, len(tokens))
    sent = 0 if begins is None else len(tokens)
    finish = _ended(backbone, tokens, limits, begins, new=len(tokens))
    try:
        with sequence.batched():
            if finish is None:
                latents.append(sequence.read([*prompt, *tokens], stage))
            while finish is None:
                tokens.append(sampler.choose(sequence.logits(), tokens))
                begins = thinking.answer_at(tokens, 1) if begins is None else begins
                if on_token is not None and begins is not None:
                    for token in tokens[max(sent, begins) :]:
                        on_token(token)
                    sent = len(tokens)
                finish = _ended(backbone, tokens, limits, begins, new=1)
                if finish is None:
                    latents.append(sequence.extend(tokens[-1:], stage))
    except BudgetSpent as spent:
        finish = "time" if spent.reason == "time" else "tokens"
    parts = thinking.parts(tokens)
    none = torch.empty(0, backbone.width, device=backbone.device)
    return Completion(
        tokens=tuple(tokens),
        text=cut_at_stop(parts.answer, limits.stop),
        latents=torch.stack(latents) if latents else none,
        finish=finish,
        thought_finished=parts.finished,
    )


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """Cut a text before the first stop text in it."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text


def _ended(
    backbone: Backbone, tokens: list[int], limits: AnswerLimits, begins: int | None, new: int
) -> Finish | None:
    if tokens and tokens[-1] in backbone.stop_ids:
        return "stop"
    if begins is not None:

        def text(ids: Sequence[int]) -> str:
            # What stands between a thought and its answer is part of neither.
            return backbone.text(ids).lstrip() if begins else backbone.text(ids)

        answer = tokens[begins:]
        if holds_stop(text, answer, limits.stop, min(new, len(answer))):
            return "stop"
    return "length" if len(tokens) >= limits.max_tokens else None
