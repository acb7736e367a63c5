"""The LM as a judge: prompts that share their beginning, read once and answered in one batch."""

import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from latent_agent.errors import RewardError
from latent_agent.model.backbone import Backbone
from latent_agent.model.batched_cache import SequenceGroup
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.kv_sequence import CachedSequence, common_length
from latent_agent.model.prompt import encode_chat
from latent_agent.model.thinking import Thinking, closed
from latent_agent.reward.base import JudgeRequest


class SelfJudge:
    """Answers judge requests with the frozen LM, greedily.

    What a prompt shares with the one before it, within a call, is not read again.

    Args:
        backbone: The frozen LM.
        budget: The call's budget; all is booked under ``judge``.
        prompts: Judge prompts of the model's own folder, if it has any.
        chat_template_kwargs: Arguments of the chat template. Where a template can be asked for no
            thought, it is: the judge works in its reply, which is short.
    """

    def __init__(
        self,
        backbone: Backbone,
        budget: Budget,
        prompts: Mapping[str, Any] | None = None,
        chat_template_kwargs: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.prompts = prompts
        self._template = {**chat_template_kwargs, "enable_thinking": False}
        self._backbone = backbone
        self._budget = budget
        self._sequence = CachedSequence(backbone, budget)

    def ask(self, requests: Sequence[JudgeRequest]) -> list[str]:
        """Reply to each request."""
        prompts = [self._encode(request) for request in requests]
        # The last id of each prompt stays out of what is shared: its state starts the reply.
        shared = min(common_length(prompts), min(len(ids) for ids in prompts) - 1)
        if shared:
            self._sequence.read(prompts[0][:shared], "judge")
        else:
            self._sequence = CachedSequence(self._backbone, self._budget)
        tails = [ids[shared:] for ids in prompts]
        # Padding would stretch a sliding window, so such models answer one by one.
        batches = [[n] for n in range(len(tails))] if self._backbone.slides else [range(len(tails))]
        replies: dict[int, str] = {}
        for batch in batches:
            rows = _Rows(
                self._backbone, self._sequence, self._budget, shared, [tails[n] for n in batch]
            )
            replies.update(zip(batch, rows.reply([requests[n] for n in batch]), strict=True))
        return [replies[n] for n in range(len(requests))]

    def _encode(self, request: JudgeRequest) -> list[int]:
        tokenizer = self._backbone.tokenizer
        turns = [Turn("user", request.prompt)]
        ids = closed(tokenizer, encode_chat(tokenizer, turns, (), self._template))
        window = self._backbone.context_window
        if window is not None and len(ids) + 1 > window:
            raise RewardError(
                f"a judge's prompt must fit the context window of {window} tokens, got "
                f"{len(ids)}; lower max_tokens, or use a reward that needs no prompt"
            )
        return ids


class _Rows:
    """A batch of prompt tails that all go on from one cached beginning."""

    def __init__(
        self,
        backbone: Backbone,
        sequence: CachedSequence,
        budget: Budget,
        shared: int,
        tails: Sequence[Sequence[int]],
    ) -> None:
        self._backbone, self._budget, self._tails = backbone, budget, tails
        self._thinking = Thinking(backbone, ())  # the prompts end with no thought begun
        longest = max(len(tail) for tail in tails)
        padding = [longest - len(tail) for tail in tails]
        ids = [[0] * pad + list(tail) for pad, tail in zip(padding, tails, strict=True)]
        mask = [[1] * shared + [0] * pad + [1] * (longest - pad) for pad in padding]
        self._ids = torch.tensor(ids, device=backbone.device)
        self._group = SequenceGroup(
            sequence.branch(len(tails)), torch.tensor(mask, device=backbone.device)
        )
        # Positions are counted without padding: the longest prompt leaves the least room.
        window = backbone.context_window
        self._room = sys.maxsize if window is None else window - shared - longest

    def reply(self, requests: Sequence[JudgeRequest]) -> list[str]:
        """Write all replies, or read choices from the first logits."""
        if all(request.choices for request in requests):
            pairs = zip(requests, self._read(), strict=True)
            return [self._choose(request, row) for request, row in pairs]
        with self._backbone.scheduler.joined(self._group, keep=False):
            return self._write_all(requests)

    def _read(self) -> torch.Tensor:
        """Read the tails; return the logits of what follows, (rows, vocabulary)."""
        mask, tails = self._group.mask, self._tails
        assert mask is not None
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -self._ids.shape[-1] :]
        with self._backbone.scheduler.alone():
            self._budget.charge("judge", sum(len(tail) for tail in tails))
            states = self._backbone.states(self._ids, self._group.cache, mask, positions)
            return self._backbone.logits(states[:, -1])

    def _write_all(self, requests: Sequence[JudgeRequest]) -> list[str]:
        logits = self._read()
        written: list[list[int]] = [[] for _ in requests]
        while True:
            chosen = logits.argmax(-1)
            for request, tokens, token in zip(requests, written, chosen.tolist(), strict=True):
                if self._goes_on(request, tokens):
                    tokens.append(token)
            active = sum(map(self._goes_on, requests, written))
            if not active:
                return [self._text(*reply) for reply in zip(requests, written, strict=True)]
            self._budget.charge("judge", active)
            _, logits = self._backbone.scheduler.step(self._group, chosen[:, None])

    def _text(self, request: JudgeRequest, tokens: list[int]) -> str:
        if request.whole and not self._ended(tokens):
            return ""
        return self._thinking.parts(tokens).answer

    def _ended(self, tokens: list[int]) -> bool:
        return bool(tokens) and tokens[-1] in self._backbone.stop_ids

    def _goes_on(self, request: JudgeRequest, tokens: list[int]) -> bool:
        return not self._ended(tokens) and len(tokens) < min(request.max_tokens, self._room)

    def _choose(self, request: JudgeRequest, logits: torch.Tensor) -> str:
        firsts = [self._first_ids(choice) for choice in request.choices]
        scores = [max(logits[token].item() for token in ids) for ids in firsts]
        if request.weighed:
            return repr(torch.tensor(scores, dtype=torch.float64).softmax(0)[0].item())
        return request.choices[scores.index(max(scores))].strip()

    def _first_ids(self, word: str) -> set[int]:
        """The first token of a word with and without a space before it."""
        encode = self._backbone.tokenizer.encode
        forms = (word, f" {word.strip()}")
        return {encode(form, add_special_tokens=False)[0] for form in forms}
