"""One call: recall, warm starts, draft, search, remember."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Self

from latent_agent.call.answer_format import FREE_TEXT, Form
from latent_agent.call.call import Call
from latent_agent.call.log_probabilities import answer_tokens
from latent_agent.call.outcome import Outcome, outcome_of, unjudged
from latent_agent.call.progress import Progress
from latent_agent.errors import PromptError
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import check_size, encode_chat
from latent_agent.model.registry import SharedModel
from latent_agent.model.thinking import closed
from latent_agent.recall.types import NO_MEMORY, CallMemory
from latent_agent.reward import Reward, SelfReward, as_reward
from latent_agent.reward.by_name import BUILT_IN
from latent_agent.search.needs import check_needs
from latent_agent.search.refine import Search
from latent_agent.search.types import SearchRecord
from latent_agent.settings import Settings


def default_reward(judge: str, verdict: str = "generate") -> Reward:
    """Return the built-in reward that settings name."""
    if judge in BUILT_IN:
        return BUILT_IN[judge]()
    if judge == "grades":
        return SelfReward("grades", verdict=verdict)
    return SelfReward("checks", strict=judge == "strict", verdict=verdict)


def reward_for(settings: Settings, given: object = None) -> Reward:
    """Return the reward that was given, or else the built-in one that settings name.

    Raises:
        RewardError: If what was given is no reward.
    """
    if given is not None:
        return as_reward(given)
    return default_reward(settings.judge, settings.verdict)


def accepting(settings: Settings, reward: Reward) -> Settings:
    """Return settings with the reward's own threshold, where it was calibrated."""
    known = reward.threshold
    return settings if known is None else replace(settings, threshold=known)


class LatentAgent:
    """LatentSeek over a frozen LM, one conversation at a time, with or without a memory.

    Args:
        model: The model; its weights are read at the first call.
        settings: What holds for every call.
        reward: Scores answers; None: the recipe's own self-reward.
        memory: What past calls left behind; None: nothing is recalled or stored.
        form: What form the answers have. Those that a grammar holds neither recall nor leave
            traces: they can be rated, that is all.
        top_logprobs: How many tokens to name with their log-probabilities in each token's place;
            0: the answer's own alone. None: none.
    """

    def __init__(
        self,
        model: SharedModel,
        settings: Settings,
        reward: Reward | None = None,
        memory: CallMemory | None = None,
        form: Form = FREE_TEXT,
        top_logprobs: int | None = None,
    ) -> None:
        self.model = model
        self.reward = form.reward(reward_for(settings, reward))
        self.settings = accepting(settings, self.reward)
        self.memory = memory or NO_MEMORY
        if form.constrained:
            self.memory = self.memory.for_rating(held=True)
        self.form, self._top_logprobs = form, top_logprobs

    def having(self, settings: Settings | None = None, memory: CallMemory | None = None) -> Self:
        """Return the agent with other settings, or another memory."""
        other = copy(self)
        other.settings = accepting(settings or self.settings, self.reward)
        other.memory = memory or self.memory
        return other

    def without(self, seconds: float) -> Self:
        """Return the agent with what is left of its timeout after some seconds."""
        if not seconds or self.settings.timeout is None:
            return self
        left = max(0.0, self.settings.timeout - seconds)
        return self.having(replace(self.settings, timeout=left))

    def answer(self, turns: Sequence[Turn], progress: Progress | None = None) -> Outcome:
        """Answer a conversation; the last human text is the question that rewards see.

        Raises:
            PromptError: If the messages make no prompt, or the prompt does not fit.
            CallCancelled: If ``progress.cancelled`` is set before the answer stands.
        """
        call = self._open(turns, progress)
        if self.settings.max_iterations == 0:
            memory = self.memory.for_rating(held=self.form.constrained)
            recalled, outcome = memory.recall(call), self._told(call, unjudged(call))
            return outcome.with_memory(recalled, memory.remember(call, recalled, SearchRecord()))
        recalled = self.memory.recall(call)
        search = Search(call, self.settings, call.width, call.report_step)
        with search:  # until an answer is accepted, a budget is spent, or the reward fails
            search.start_from(call.starts(recalled.warm_starts))
            search.refine()
        outcome = self._told(call, outcome_of(call, search.record))
        stored = self.memory.remember(call, recalled, search.record)
        return outcome.with_memory(recalled, stored)

    def _told(self, call: Call, outcome: Outcome) -> Outcome:
        """Add the log-probabilities of an answer's text, if they are asked for."""
        if self._top_logprobs is None or outcome.calls:
            return outcome
        answered = answer_tokens(call, outcome.tokens, outcome.text, self._top_logprobs)
        return outcome.with_likely(answered)

    def _open(self, turns: Sequence[Turn], progress: Progress | None) -> Call:
        window, tokenizer = self.model.context_window, self.model.tokenizer
        told, tools = self.form.told(tokenizer, turns)
        check_size(tokenizer, told, window)
        prompt = encode_chat(tokenizer, told, tools, self.settings.chat_template_kwargs)
        if self.form.constrained:
            prompt = closed(tokenizer, prompt)
        if window is not None and len(prompt) >= window:
            raise PromptError(
                f"the prompt must leave room in the context window of {window} tokens, got a "
                f"prompt of {len(prompt)} tokens; shorten or drop messages, raise n_ctx if "
                "llama.cpp runs it, or choose a model with a longer window"
            )
        check_needs(self.settings.search, self.model.engine())
        return Call(self.model, self.settings, self.reward, turns, prompt, progress, self.form)
