"""A Hugging Face causal LM as an engine: the reference."""

from collections.abc import Sequence as Seq
from typing import Any
from weakref import WeakMethod

import torch
from transformers import Cache, DynamicCache, PreTrainedModel, PreTrainedTokenizerBase

from latent_agent.errors import ModelError
from latent_agent.model.batch_scheduler import BatchScheduler
from latent_agent.model.budget import Budget
from latent_agent.model.lm_head import LMHead
from latent_agent.model.threads import Threads
from latent_agent.model.transformers_engine.batched_cache import can_batch
from latent_agent.model.transformers_engine.caching_engine import CachingEngine
from latent_agent.model.transformers_engine.kv_sequence import CachedSequence
from latent_agent.model.transformers_engine.loading import context_window
from latent_agent.model.transformers_engine.memory_room import (
    free_bytes,
    row_bytes,
    rows_that_fit,
)
from latent_agent.model.transformers_engine.padded_passes import PaddedPasses
from latent_agent.model.transformers_engine.preallocated_cache import PreallocatedCache
from latent_agent.model.transformers_engine.prompt_pooling import pool
from latent_agent.model.transformers_engine.soft_states import blocks_of, caught, replaced

_GOOD_WIDTH = 8  # docs/speed.md says how it was measured
_DTYPES = (torch.float64, torch.float32, torch.bfloat16, torch.float16)
EMBEDDED_AT_ONCE = 16  # prompts that share a pass


class TransformersEngine(CachingEngine):
    """A frozen causal LM with its tokenizer, split into body and head.

    Args:
        model: Any Hugging Face causal LM; its weights are never changed.
        tokenizer: The tokenizer that belongs to it.
        threads: Threads of the CPU that compute; None: see `Threads`.

    Raises:
        ModelError: If the model's own logits are not what its head makes of its last states.
    """

    name = "transformers"

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        threads: int | None = None,
    ) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.device = model.device
        on_cpu = self.device.type == "cpu"
        self._threads = Threads(threads, _bytes_of(model) if on_cpu else None)
        self.threads = self._threads.count
        self.good_width = _GOOD_WIDTH
        self.place, self.survives_fork = "the CPU" if on_cpu else "a GPU", on_cpu
        self.stop_ids = stop_ids(model, tokenizer)
        text_config: Any = model.config.get_text_config()
        self.context_window = context_window(text_config)
        self.slides = bool(getattr(text_config, "sliding_window", None))
        self._body: Any = model.base_model
        linear: Any = model.get_output_embeddings()
        if linear is None or self._body is model:
            raise ModelError(
                f"the model must have a body and an LM head, got {type(model).__name__}; "
                "use a class whose name ends in ForCausalLM"
            )
        self._head = head_of(linear, text_config)
        self._blocks = blocks_of(self._body, text_config)
        self.blocks = len(self._blocks)
        self.capabilities = frozenset({"block_states", "block_gradients"} if self._blocks else ())
        can_batch = self._probe() and not self.slides  # padding would stretch a sliding window
        self.passes = PaddedPasses(_held_weakly(self.step))
        self.scheduler = BatchScheduler(self.passes, can_batch=can_batch)

    @property
    def vocabulary(self) -> int:
        """How many logits the head makes."""
        return self._head.weight.shape[0]

    @property
    def width(self) -> int:
        """How many numbers a latent has (d)."""
        return self._head.weight.shape[1]

    def rows_at_once(self, rows: int, length: int) -> int:
        """Return how many of some rows of a length fit the free memory."""
        if rows <= 1:
            return rows
        config = self.model.config.get_text_config()
        one = row_bytes(config, length, self.model.dtype, self.vocabulary)
        return rows_that_fit(one, free_bytes(self.device), rows)

    def sequence(self, budget: Budget) -> CachedSequence:
        """Return an empty sequence; its memory grows with it."""
        return CachedSequence(self, budget)

    def embed(self, prompts: Seq[Seq[int]]) -> list[torch.Tensor]:
        """Return the embeddings of prompts, (d,) float32 each.

        Prompts of like length are read together, padded at their end, where a causal model does
        not look.
        """
        order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
        embedded: dict[int, torch.Tensor] = {}
        for first in range(0, len(order), EMBEDDED_AT_ONCE):
            block = order[first : first + EMBEDDED_AT_ONCE]
            rows = self._embed_block([prompts[place] for place in block])
            embedded.update(zip(block, rows, strict=True))
        return [embedded[place] for place in range(len(prompts))]

    def _embed_block(self, rows: Seq[Seq[int]]) -> list[torch.Tensor]:
        longest = max(len(row) for row in rows)
        padded = [[*row, *[0] * (longest - len(row))] for row in rows]
        with self.scheduler.alone():
            _, layers = self.layers(torch.tensor(padded, device=self.device), DynamicCache())
        return [
            pool([layer[number, None, : len(row)] for layer in layers])
            for number, row in enumerate(rows)
        ]

    def logits(self, latents: torch.Tensor, tokens: torch.Tensor | None = None) -> torch.Tensor:
        """Turn latents (N, d) into logits (N, vocabulary); see `LMHead.logits`.

        Draft and refinement share this function: a head of another precision would pick other
        tokens than the draft did.
        """
        with self._threads.used():
            return self._head.logits(latents, tokens)

    def pull_back(self, latents: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """Turn a gradient (N, vocabulary) of logits into one of latents, (N, d); see `LMHead`."""
        with self._threads.used():
            return self._head.pull_back(latents, gradient)

    @torch.no_grad()
    def states(
        self,
        ids: torch.Tensor,
        cache: Cache,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Run token ids (rows, length) through the body; return states (rows, length, d).

        All tensors lie on the model's device.
        """
        given = {} if mask is None else {"attention_mask": mask, "position_ids": positions}
        with self._threads.used():
            output = self._body(input_ids=ids, past_key_values=cache, use_cache=True, **given)
        return output.last_hidden_state

    @torch.no_grad()
    def block_states(self, ids: torch.Tensor, cache: Cache, block: int) -> torch.Tensor:
        """Run token ids (rows, length) through the body; return a block's inputs, of that shape."""
        with caught(self._blocks[block]) as seen:
            self.states(ids, cache)
        return seen[0]

    def back(
        self, output: torch.Tensor, states: torch.Tensor, gradient: torch.Tensor
    ) -> torch.Tensor:
        """Turn a gradient of what `states_behind` returned into that of the states put in."""
        with self._threads.used():
            (found,) = torch.autograd.grad(output, states, gradient)
        return found

    def states_behind(
        self,
        ids: torch.Tensor,
        cache: Cache,
        block: int,
        soft: torch.Tensor,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Like `states`, but the first inputs of a block are others, and gradients are kept.

        Args:
            ids: The prefix's tokens, then those that follow it, (rows, length).
            cache: Of the prompt.
            block: Whose inputs.
            soft: The prefix's states at that input, (rows, P, d).
            mask: Over all that is cached and read, (rows, length).
            positions: Of ``ids``.
        """
        given = {} if mask is None else {"attention_mask": mask, "position_ids": positions}
        with self._threads.used(), replaced(self._blocks[block], soft):
            output = self._body(input_ids=ids, past_key_values=cache, use_cache=True, **given)
        return output.last_hidden_state

    @torch.no_grad()
    def step(
        self,
        ids: torch.Tensor,
        cache: Cache,
        mask: torch.Tensor | None = None,
        positions: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Read one more token in each row; ids (rows, 1).

        Returns:
            Latents (rows, d) float32, and their logits (rows, vocabulary).
        """
        latents = self.states(ids, cache, mask, positions)[:, -1].float()
        return latents, self.logits(latents)

    @torch.no_grad()
    def layers(
        self, ids: torch.Tensor, cache: DynamicCache
    ) -> tuple[torch.Tensor, Seq[torch.Tensor]]:
        """Like `states` for one row, with the states after the embeddings and after each layer."""
        with self._threads.used():
            output = self._body(
                input_ids=ids,
                past_key_values=cache,
                use_cache=True,
                output_hidden_states=True,
            )
        return output.last_hidden_state, output.hidden_states

    @torch.no_grad()
    def _probe(self) -> bool:
        """Check the head and the cache; return whether caches can be batched."""
        ids = torch.tensor([[0, 1, 2]], device=self.device)
        cache = PreallocatedCache()
        read = [self.states(ids[:, :2], cache)]
        self.states(ids[:, 2:], cache)
        cache.crop(-1)
        read.append(self.states(ids[:, 2:], cache))  # a cache that cannot be cropped shows here
        ours = self.logits(torch.cat(read, dim=1)[0])
        theirs = self.model(input_ids=ids, use_cache=False).logits[0].float()
        gap = (ours - theirs).abs().max().item()
        rough = 1e-3 if self._head.full_precision else 0.02
        if not gap <= rough * (1 + theirs.abs().max().item()):
            raise ModelError(
                "the head must turn the cached body's states into the model's own logits, but "
                f"for {type(self.model).__name__} they differ by {gap:.3g}; this architecture "
                "or its quantisation is not supported yet, choose another model"
            )
        return can_batch(cache)


def _held_weakly(step: Any) -> Any:
    """Return a method that keeps no object: a circle would keep the weights until it is collected.

    The thread that decodes holds the object.
    """
    method: Any = WeakMethod(step)

    def one_pass(*given: Any) -> Any:
        return method()(*given)

    return one_pass


def _bytes_of(model: PreTrainedModel) -> int:
    return sum(weight.numel() * weight.element_size() for weight in model.parameters())


def head_of(linear: Any, text_config: Any) -> LMHead:
    """Return a model's head, with what its config does to the scores.

    Raises:
        ModelError: If its weight is quantised: no gradient goes back through that.
    """
    weight: Any = getattr(linear, "weight", None)
    dtype: torch.dtype | None = getattr(weight, "dtype", None)
    if dtype not in _DTYPES:
        raise ModelError(
            "the LM head must have a floating-point weight of 16 bits or more, got "
            f"{linear!r} with a weight of {dtype or 'packed numbers'}; leave the head "
            "unquantised, or load the model as it was before"
        )
    scale = float(getattr(text_config, "logit_scale", None) or 1.0)
    divisor = float(getattr(text_config, "logits_scaling", None) or 1.0)
    return LMHead(linear, scale / divisor, getattr(text_config, "final_logit_softcapping", None))


def stop_ids(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Collect every id that ends an answer, from the generation config, config and tokenizer."""
    collected: set[int] = set()
    for source in (model.generation_config, model.config, tokenizer):
        ids: Any = getattr(source, "eos_token_id", None)
        if ids is not None:
            collected.update([ids] if isinstance(ids, int) else ids)
    return frozenset(collected)
