"""The LM as a judge: prompts that share their beginning, read once and answered in one batch."""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from latent_agent.errors import BudgetSpent, RewardError
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.engine import AnswerLimits, Completion, Engine, Writing
from latent_agent.model.prompt import encode_chat
from latent_agent.model.thinking import closed
from latent_agent.reward.judge import JudgeRequest


class SelfJudge:
    """Answers judge requests with the frozen LM, greedily.

    What a prompt shares with the one before it, within a call, is not read again.

    Args:
        engine: The frozen LM.
        budget: The call's budget; all is booked under ``judge``.
        prompts: Judge prompts of the model's own folder, if it has any.
        chat_template_kwargs: Arguments of the chat template. Where a template can be asked for no
            thought, it is: the judge works in its reply, which is short.
    """

    def __init__(
        self,
        engine: Engine,
        budget: Budget,
        prompts: Mapping[str, Any] | None = None,
        chat_template_kwargs: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.prompts = prompts
        self._template = {**chat_template_kwargs, "enable_thinking": False}
        self._engine = engine
        self._sequence = engine.sequence(budget)

    def ask(self, requests: Sequence[JudgeRequest]) -> list[str]:
        """Reply to each request."""
        prompts = [self._encode(request) for request in requests]
        if all(request.choices for request in requests):
            logits = self._sequence.next_logits(prompts, "judge")
            return [self._choose(*pair) for pair in zip(requests, logits, strict=True)]
        rows = [self._row(*pair) for pair in zip(requests, prompts, strict=True)]
        replies = self._sequence.write(rows, "judge")
        return [self._text(*pair) for pair in zip(requests, replies, strict=True)]

    def tells_apart(self, words: Sequence[str]) -> bool:
        """Whether each of some words is a single token, and no two are the same."""
        encode = self._engine.tokenizer.encode
        ids = [encode(word, add_special_tokens=False) for word in words]
        return all(len(one) == 1 for one in ids) and len({one[0] for one in ids}) == len(ids)

    def _encode(self, request: JudgeRequest) -> list[int]:
        tokenizer = self._engine.tokenizer
        turns = [Turn("user", request.prompt)]
        ids = closed(tokenizer, encode_chat(tokenizer, turns, (), self._template))
        window = self._engine.context_window
        if window is not None and len(ids) + 1 > window:
            raise RewardError(
                f"a judge's prompt must fit the context window of {window} tokens, got "
                f"{len(ids)}; lower max_tokens, or use a reward that needs no prompt"
            )
        return ids

    def _row(self, request: JudgeRequest, prompt: Sequence[int]) -> Writing:
        window = self._engine.context_window
        room = sys.maxsize if window is None else window - len(prompt)
        limits = AnswerLimits(max_tokens=min(request.max_tokens, room))
        return Writing(prompt=prompt, limits=limits, latents=False)

    def _text(self, request: JudgeRequest, reply: Completion) -> str:
        if not reply.whole:
            raise BudgetSpent(reply.finish)
        return "" if request.whole and reply.finish != "stop" else reply.text

    def _choose(self, request: JudgeRequest, logits: torch.Tensor) -> str:
        firsts = self._told_apart(request.choices)
        scores = [max(logits[token].item() for token in ids) for ids in firsts]
        if request.values:
            shares = torch.tensor(scores, dtype=torch.float64).softmax(0)
            return repr(float(shares @ torch.tensor(request.values, dtype=torch.float64)))
        return request.choices[scores.index(max(scores))].strip()

    def _told_apart(self, choices: Sequence[str]) -> list[set[int]]:
        """Return the first tokens of each choice that begin no other one: a space tells nothing."""
        firsts = [self._first_ids(choice) for choice in choices]
        counts = Counter(token for ids in firsts for token in ids)
        own = [{token for token in ids if counts[token] == 1} for ids in firsts]
        if not all(own):
            raise RewardError(
                f"a judge's choices must begin with different tokens, got {list(choices)!r}; "
                "choose words that this tokenizer tells apart"
            )
        return own

    def _first_ids(self, word: str) -> set[int]:
        """The first token of a word with and without a space before it."""
        encode = self._engine.tokenizer.encode
        forms = (word, f" {word.strip()}")
        return {encode(form, add_special_tokens=False)[0] for form in forms}
