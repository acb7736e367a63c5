"""What is measured: a model, questions, and how long the answers are."""

from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from dev.bench.rewards import Refusing
from dev.bench.shapes import (
    made_up_words,
    shaped_config,
    shaped_model,
    word_tokenizer,
)
from latent_agent.call.agent import reward_for
from latent_agent.model.conversation import Turn
from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.reward import Reward, SelfReward
from latent_agent.settings import Settings, settings_for
from latent_agent.teaching import questions


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The work that every part of the benchmark does.

    Attributes:
        shape: A named shape with random weights: forced lengths, every step taken.
        model: In its place, a real model, as it comes: its own answers, verdicts and steps.
        vocabulary: Words of a shape's vocabulary; None: the shape's own.
        questions: How many questions; of a shape one.
        prompt_tokens: Length of a shape's prompt.
        answer_tokens: Length of a shape's answers; the longest of a real model's.
        judge_tokens: Longest reply of a judge; None: as the model's judge prompts say.
        prefix_tokens: Latents that are optimised (N); None: the recipe's.
        iterations: Gradient steps (K).
        recipe: Settings and reward of a real model.
        verdict: ``generate`` or ``logits``.
        dtype: Name of a torch dtype; None: float32 on the CPU.
        device: Torch device; None: CUDA where there is one.
        threads: Torch's threads; None: torch's own choice.
        seed: Of weights and questions.
    """

    shape: str | None = None
    model: str | None = None
    vocabulary: int | None = None
    questions: int = 1
    prompt_tokens: int = 80
    answer_tokens: int = 256
    judge_tokens: int | None = 8
    prefix_tokens: int | None = None
    iterations: int = 5
    recipe: str = "latentseek"
    verdict: str = "generate"
    dtype: str | None = None
    device: str | None = None
    threads: int | None = None
    seed: int = 0

    @property
    def forced(self) -> bool:
        """Whether lengths and steps are settled beforehand."""
        return self.shape is not None

    def settings(self) -> Settings:
        """Return the settings of every call."""
        return settings_for(
            self.recipe,
            max_tokens=self.answer_tokens,
            max_iterations=self.iterations,
            prefix_tokens=self.prefix_tokens,
            rest="kept",  # as in the method that is compared with
            seed=self.seed,
        )

    def judge(self, verdict: str | None = None) -> Reward:
        """Return the self-reward that judges, with one verdict or another."""
        how = verdict or self.verdict
        if how == "logits":
            return SelfReward(strict=True, verdict="logits")
        if self.forced:
            return SelfReward(max_tokens=self.judge_tokens)
        return reward_for(self.settings())

    def reward(self) -> Reward:
        """Return the reward of every call."""
        return Refusing(self.judge()) if self.forced else self.judge()


class Bench:
    """A plan with its model, in the process that measures it.

    Args:
        plan: The work.
        shared: The plan's model, if it is open already.
    """

    def __init__(self, plan: Plan, shared: SharedModel | None = None) -> None:
        if plan.threads is not None:
            torch.set_num_threads(plan.threads)
        self.plan, self.settings = plan, plan.settings()
        self.shared = shared or _open(plan)
        self.opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close what parts have opened."""
        self.opened.close()

    def planned(self, plan: Plan) -> "Bench":
        """Return other work for the same model."""
        return Bench(plan, self.shared)

    @cached_property
    def model(self) -> PreTrainedModel:
        """The loaded model."""
        engine = self.shared.engine()
        assert isinstance(engine, TransformersEngine)
        return engine.model

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """Its tokenizer."""
        return self.shared.tokenizer

    @cached_property
    def turns(self) -> list[Turn]:
        """The questions, each a conversation of its own."""
        plan = self.plan
        if not plan.forced:
            asked = questions("test", n=plan.questions, seed=plan.seed)
            return [Turn("user", question.text) for question in asked]
        frame = 2  # "User:" and "Assistant:"
        words = made_up_words(max(1, plan.prompt_tokens - frame))
        return [Turn("user", " ".join(words))]

    def parameters(self) -> int:
        """Count the model's weights."""
        return sum(weight.numel() for weight in self.model.parameters())


def _open(plan: Plan) -> SharedModel:
    if plan.shape is None:
        return open_model(
            plan.model or "bundled", None, LoadOptions(dtype=plan.dtype, device=plan.device)
        )
    config: Any = shaped_config(plan.shape, plan.vocabulary)
    made = shaped_model(config, plan.dtype or "float32", plan.device, plan.seed)
    return open_model(made, word_tokenizer(config.vocab_size))
