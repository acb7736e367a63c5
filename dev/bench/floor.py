"""The floor: the model's own greedy `generate`, cached, for what must be read or written once."""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, GenerationConfig, PreTrainedModel

from dev.bench.record import Judging, Record
from latent_agent.model.transformers_engine.engine import stop_ids
from latent_agent.model.transformers_engine.kv_sequence import common_length

_NO_TOKEN = -1


class Floor:
    """Plain decoding of recorded calls.

    Attributes:
        forwarded: Non-padding positions that went through the model's body.
        answers: The answers' tokens, each call's draft first.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: Any, stops: frozenset[int] | None = None
    ) -> None:
        self.forwarded = 0
        self.answers: list[list[int]] = []
        self._model: Any = model
        self._stops = stop_ids(model, tokenizer) if stops is None else stops

    def pay(self, work: Record) -> None:
        """Read and write what one call must: draft, changed prefixes with their tails, verdicts."""
        answering = _Held(self._model)
        judging = _Held(self._model)
        for prefix in ((), *work.prefixes):
            ids = [*work.prompt, *prefix]
            kept = answering.keep(ids)
            made = self.generate([ids], answering.cache, work.limit - len(prefix))[0]
            answering.ids = (ids + made)[:-1]
            self.forwarded += len(answering.ids) - kept
            self.answers.append([*prefix, *made])
        for judged in work.judged:
            self._judge(judging, judged)

    def answer(self, prompt: Sequence[int], longest: int) -> None:
        """Read a prompt, and write one answer."""
        cache = DynamicCache(config=self._model.config)
        self.answers += self.generate([list(prompt)], cache, longest)
        self.forwarded += len(prompt) + len(self.answers[-1]) - 1

    def judge(self, judged: Judging) -> None:
        """Read one answer's checks, and write the replies."""
        self._judge(_Held(self._model), judged)

    def generate(
        self, rows: Sequence[list[int]], cache: DynamicCache, longest: int, pads: Any = None
    ) -> list[list[int]]:
        """Write greedily after rows of equal length; return what was written, a stop included."""
        ids = torch.tensor(rows, device=self._model.device)
        settings = GenerationConfig(
            do_sample=False,
            max_new_tokens=longest,
            eos_token_id=sorted(self._stops) or [_NO_TOKEN],  # None would be the model's own
            pad_token_id=0,
        )
        mask = torch.ones_like(ids) if pads is None else 1 - pads.to(ids.device)
        made = self._model.generate(
            input_ids=ids, attention_mask=mask, past_key_values=cache, generation_config=settings
        )
        return [self._to_stop(row) for row in made[:, ids.shape[1] :].tolist()]

    def _to_stop(self, row: list[int]) -> list[int]:
        ends = [at for at, token in enumerate(row) if token in self._stops]
        return row[: ends[0] + 1] if ends else row

    @torch.no_grad()
    def _judge(self, held: "_Held", judged: Judging) -> None:
        """Read what the prompts share once, then their ends, and write all replies in a batch."""
        prompts = [list(prompt) for prompt in judged.prompts]
        shared = min(common_length(prompts), min(map(len, prompts)) - 1)
        common = prompts[0][:shared]
        kept = held.keep([*common, -1])
        if kept < shared:
            ids = torch.tensor([common[kept:]], device=self._model.device)
            self._model(input_ids=ids, past_key_values=held.cache, logits_to_keep=1)
        held.ids = common
        cache = copy.deepcopy(held.cache)
        cache.batch_repeat_interleave(len(prompts))
        longest = max(map(len, prompts))
        rows = [common + [0] * (longest - len(row)) + row[shared:] for row in prompts]
        pads = torch.tensor(
            [
                [0] * shared + [1] * (longest - len(row)) + [0] * (len(row) - shared)
                for row in prompts
            ]
        )
        replies = self.generate(rows, cache, judged.longest, pads)
        self.forwarded += shared - kept + sum(len(row) - shared for row in prompts)
        self.forwarded += sum(len(reply) - 1 for reply in replies)


class _Held:
    """A cache, and the ids whose states it holds."""

    def __init__(self, model: Any) -> None:
        self.cache = DynamicCache(config=model.config)
        self.ids: list[int] = []

    def keep(self, ids: list[int]) -> int:
        """Crop to what is shared with ids, short of the last of them; return how much that is."""
        kept = min(common_length([self.ids, ids]), len(ids) - 1)
        if surplus := len(self.ids) - kept:
            self.cache.crop(-surplus)
        return kept
