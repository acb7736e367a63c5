"""The frozen LM: prompts to latents, latents to tokens, prefixes to whole answers.

A latent ``z_t`` is the last hidden state after the final norm, the one that the LM head turns into
the distribution of answer token ``x_t`` (arXiv 2505.13308, section 3).
"""

import copy
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn import functional
from transformers import DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from latent_agent.errors import BudgetSpent, ModelError
from latent_agent.meter import Meter, Stage
from latent_agent.sampling import Sampler

Finish = Literal["stop", "length", "time", "tokens"]


class Backbone:
    """A frozen causal LM with its tokenizer, split into body and head.

    Args:
        model: Any Hugging Face causal LM; its weights are never changed.
        tokenizer: The tokenizer that belongs to it.

    Raises:
        ModelError: If the model's own logits are not what its head makes of its last states.
    """

    def __init__(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.device = model.device
        self.stop_ids = stop_ids(model, tokenizer)
        text_config: Any = model.config.get_text_config()
        self.context_window: int | None = context_window(text_config)
        self.slides = bool(getattr(text_config, "sliding_window", None))
        self._body: Any = model.base_model
        self._linear: Any = model.get_output_embeddings()
        self._soft_cap: float | None = getattr(text_config, "final_logit_softcapping", None)
        self._scale = float(getattr(text_config, "logit_scale", None) or 1.0) / float(
            getattr(text_config, "logits_scaling", None) or 1.0
        )
        if self._linear is None or self._body is model:
            raise ModelError(
                f"the model must have a body and an LM head, got {type(model).__name__}; "
                "use a class whose name ends in ForCausalLM"
            )
        self._probe()

    def logits(self, latents: torch.Tensor) -> torch.Tensor:
        """Turn latents (N, d) into logits (N, vocabulary), float32 and differentiable.

        Draft and refinement share this function: a head of another precision would pick other
        tokens than the draft did.
        """
        weight, bias = self._linear.weight.detach(), self._linear.bias
        scores = functional.linear(latents.to(weight.dtype), weight, bias).float() * self._scale
        if self._soft_cap:
            scores = torch.tanh(scores / self._soft_cap) * self._soft_cap
        return scores

    @torch.no_grad()
    def decode(self, latents: torch.Tensor, sampler: Sampler) -> tuple[int, ...]:
        """Choose a token for each latent (N, d), up to and with the first stop token.

        In half precision the rows go through the head one by one, as they did in the draft: the
        sums of a wider matrix product round otherwise, and would pick other tokens.
        """
        whole = self._linear.weight.dtype == torch.float32
        tokens: list[int] = []
        for rows in (latents,) if whole else latents.split(1):
            for scores in self.logits(rows):
                tokens.append(sampler.choose(scores))
                if tokens[-1] in self.stop_ids:
                    return tuple(tokens)
        return tuple(tokens)

    @torch.no_grad()
    def states(
        self,
        ids: torch.Tensor,
        cache: DynamicCache,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run token ids (rows, length) through the body; return states (rows, length, d)."""
        given = {} if mask is None else {"attention_mask": mask, "position_ids": positions}
        output = self._body(
            input_ids=ids.to(self.device), past_key_values=cache, use_cache=True, **given
        )
        return output.last_hidden_state

    def text(self, tokens: Seq[int]) -> str:
        """Decode answer tokens without stop tokens; whitespace stays as it is."""
        kept = [token for token in tokens if token not in self.stop_ids]
        text: Any = self.tokenizer.decode(
            kept, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text

    @torch.no_grad()
    def _probe(self) -> None:
        ids = torch.tensor([[0, 1, 2]], device=self.device)
        cache = DynamicCache()
        read = [self.states(ids[:, :2], cache)]
        self.states(ids[:, 2:], cache)
        cache.crop(-1)
        read.append(self.states(ids[:, 2:], cache))  # a cache that cannot be cropped shows here
        ours = self.logits(torch.cat(read, dim=1)[0])
        theirs = self.model(input_ids=ids, use_cache=False).logits[0].float()
        gap = (ours - theirs).abs().max().item()
        rough = 1e-3 if self._linear.weight.dtype == torch.float32 else 0.02
        if not gap <= rough * (1 + theirs.abs().max().item()):
            raise ModelError(
                "the head must turn the cached body's states into the model's own logits, but "
                f"for {type(self.model).__name__} they differ by {gap:.3g}; this architecture "
                "is not supported yet, choose another model"
            )


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Collect every id that ends an answer, from the generation config, config and tokenizer."""
    found: set[int] = set()
    for source in (model.generation_config, model.config, tokenizer):
        ids: Any = getattr(source, "eos_token_id", None)
        if ids is not None:
            found.update([ids] if isinstance(ids, int) else ids)
    return frozenset(found)


def context_window(config: Any) -> int | None:
    """Return how many positions a model knows, or None if its config sets no limit."""
    return getattr(config, "max_position_embeddings", None)


class CachedSequence:
    """One row of token ids whose keys and values are cached.

    `read` crops the cache back to what is shared with the new ids, so that a prompt is read once
    however many answers are tried after it.
    """

    def __init__(self, backbone: Backbone, meter: Meter) -> None:
        self._backbone = backbone
        self._meter = meter
        # Without a config every layer keeps all its states, also where attention slides: the mask
        # does the sliding, and the cache can be cropped to any length.
        self._cache = DynamicCache()
        self._ids: list[int] = []

    def read(self, ids: Seq[int], stage: Stage) -> torch.Tensor:
        """Make this sequence hold ``ids`` and return the latent after them, (d,) float32."""
        keep = min(common_length([self._ids, ids]), len(ids) - 1)
        self._crop(keep)
        return self.extend(ids[keep:], stage)

    def extend(self, ids: Seq[int], stage: Stage) -> torch.Tensor:
        """Append ``ids`` and return the latent after them, (d,) float32."""
        self._meter.charge(stage, len(ids))
        states = self._backbone.states(torch.tensor([list(ids)]), self._cache)
        self._ids += ids
        return states[0, -1].float()

    def branch(self, rows: int) -> DynamicCache:
        """Copy the cache for a batch of so many rows that all go on from here."""
        cache = copy.deepcopy(self._cache)
        cache.batch_repeat_interleave(rows)
        return cache

    def _crop(self, length: int) -> None:
        if surplus := len(self._ids) - length:
            self._cache.crop(-surplus)
            del self._ids[length:]


def common_length(rows: Seq[Seq[int]]) -> int:
    """Return how many leading ids all rows share."""
    shared = 0
    for column in zip(*rows, strict=False):
        if any(token != column[0] for token in column):
            break
        shared += 1
    return shared


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
    prompt: Seq[int],
    prefix: Seq[int],
    *,
    limits: Limits,
    sampler: Sampler,
    stage: Stage,
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

    Returns:
        The answer; ``latents`` are those of the tokens after the prefix, (T - len(prefix), d)
        float32. If the budget is spent, the answer as far as it came.
    """
    tokens = list(prefix[: limits.max_tokens])
    latents: list[torch.Tensor] = []
    finish = _ended(backbone, tokens, limits)
    try:
        if finish is None:
            latents.append(sequence.read([*prompt, *tokens], stage))
        while finish is None:
            tokens.append(sampler.choose(backbone.logits(latents[-1][None])[0]))
            finish = _ended(backbone, tokens, limits)
            if finish is None:
                latents.append(sequence.extend(tokens[-1:], stage))
    except BudgetSpent as spent:
        finish = "time" if spent.reason == "time" else "tokens"
    text = cut_at_stop(backbone.text(tokens), limits.stop)
    stacked = torch.stack(latents) if latents else torch.empty(0)
    return Completion(tokens=tuple(tokens), text=text, latents=stacked, finish=finish)


def cut_at_stop(text: str, stop: Seq[str]) -> str:
    """Cut a text before the first stop text in it."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text


def _ended(backbone: Backbone, tokens: list[int], limits: Limits) -> Finish | None:
    if tokens and tokens[-1] in backbone.stop_ids:
        return "stop"
    if limits.stop and any(word in backbone.text(tokens) for word in limits.stop):
        return "stop"
    return "length" if len(tokens) >= limits.max_tokens else None
