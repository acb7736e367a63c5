"""The stages of one call, and what they share: prompt, cache, bill, and answers already seen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from latent_agent.backbone import Backbone
from latent_agent.completion import Completion, Limits, complete
from latent_agent.errors import BudgetSpent, RewardError
from latent_agent.loading import SharedModel
from latent_agent.meter import Meter
from latent_agent.prompt import Turn, last_question, transcript
from latent_agent.refine import Search, Trial
from latent_agent.reward import Case, Reward, Score
from latent_agent.reward.base import checked_score
from latent_agent.sampling import Sampler
from latent_agent.self_judge import SelfJudge
from latent_agent.sequence import CachedSequence
from latent_agent.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a call came to.

    Attributes:
        text: The answer.
        draft: The draft's text.
        finish: Why the answer ended: ``stop`` or ``length``, or the budget that was spent.
        stopped: Why the call ended: ``threshold``, ``iterations``, ``patience``, ``time``,
            ``tokens``, ``reward_error`` or ``unjudged``.
        road: Where the answer comes from: ``draft`` or ``refined``.
        rewards: One float per draft and gradient step, repeats included.
        iterations: Gradient steps taken.
        checks: The reward's single findings on the answer.
        error: What a failing reward said.
        forwarded_tokens: The bill by stage.
        prompt_tokens: Length of the prompt.
        answer_tokens: Length of the answer.
    """

    text: str
    draft: str
    finish: str
    stopped: str
    road: str = "draft"
    rewards: Sequence[float] = ()
    iterations: int = 0
    checks: Mapping[str, float] = field(default_factory=dict[str, float])
    error: str | None = None
    forwarded_tokens: Mapping[str, int]
    prompt_tokens: int
    answer_tokens: int


class Call:
    """One conversation on its way from prompt to answer.

    Two things make a call cheap, both exact: the prompt is read once, and with greedy decoding an
    answer depends on the latents only through their tokens, so a prefix seen before has a known
    answer and a step that changes no token calls no model.
    """

    def __init__(
        self,
        model: SharedModel,
        settings: Settings,
        reward: Reward,
        turns: Sequence[Turn],
        prompt: Sequence[int],
    ) -> None:
        self.backbone: Backbone = model.backbone()
        self._settings, self._reward, self._prompt = settings, reward, prompt
        self._meter = Meter(settings.max_forwarded_tokens, settings.timeout)
        self._sequence = CachedSequence(self.backbone, self._meter)
        self._question, self._conversation = last_question(turns), transcript(turns)
        self._judge = SelfJudge(self.backbone, self._meter, model.judge_prompts)
        room = (model.context_window or len(prompt) + settings.max_tokens) - len(prompt)
        self._limits = Limits(max_tokens=min(settings.max_tokens, room), stop=settings.stop)
        self._completions: dict[tuple[int, ...], Completion] = {}
        self._scores: dict[str, Score] = {}

    def draft(self) -> Completion:
        """Write the first answer: greedy, unless it is to be plain sampled generation."""
        plain = self._settings.max_iterations == 0
        sampler = Sampler(self._settings.temperature if plain else 0.0, self._settings.seed)
        return complete(
            self.backbone, self._sequence, self._prompt, (),
            limits=self._limits, sampler=sampler, stage="draft",
        )  # fmt: skip

    def judge(self, draft: Completion) -> Trial:
        """Score the draft."""
        prefix = draft.tokens[: self._settings.prefix_length(len(draft.tokens))]
        self._completions[prefix] = draft
        return self._trial(prefix, draft)

    def base(self, draft: Completion) -> torch.Tensor:
        """Return the draft's first latents, (N, d) float32: the base state of the search."""
        return draft.latents[: self._settings.prefix_length(len(draft.tokens))]

    def attempt(self, prefix: tuple[int, ...], sampler: Sampler) -> Trial:
        """Continue a prefix to a whole answer and score it.

        Raises:
            BudgetSpent: If the answer cannot be finished or judged within the budgets.
            RewardError: If the reward breaks its contract.
        """
        self._meter.charge("refine", 0)  # time runs out also where nothing is forwarded
        known = self._completions.get(prefix) if self._settings.temperature == 0 else None
        completion = known or complete(
            self.backbone, self._sequence, self._prompt, prefix,
            limits=self._limits, sampler=sampler, stage="refine",
        )  # fmt: skip
        if completion.finish in ("time", "tokens"):
            raise BudgetSpent(completion.finish)
        self._completions[prefix] = completion
        return self._trial(prefix, completion)

    def unjudged(self, draft: Completion, failure: Exception | None = None) -> Outcome:
        """Return the draft as it is."""
        stopped = draft.finish if draft.finish in ("time", "tokens") else "unjudged"
        if isinstance(failure, BudgetSpent):
            stopped = failure.reason
        elif failure is not None:
            stopped = "reward_error"
        return Outcome(
            text=draft.text,
            draft=draft.text,
            finish=draft.finish,
            stopped=stopped,
            error=str(failure) if isinstance(failure, RewardError) else None,
            forwarded_tokens=self._meter.bill(),
            prompt_tokens=len(self._prompt),
            answer_tokens=len(draft.tokens),
        )

    def searched(self, draft: Completion, search: Search) -> Outcome:
        """Return the best answer of a search."""
        best = search.best
        return Outcome(
            text=best.text,
            draft=draft.text,
            finish=best.finish,
            stopped=search.stopped,
            road="draft" if best.tokens == draft.tokens else "refined",
            rewards=tuple(search.rewards),
            iterations=search.iterations,
            checks=best.score.checks,
            error=search.error,
            forwarded_tokens=self._meter.bill(),
            prompt_tokens=len(self._prompt),
            answer_tokens=len(best.tokens),
        )

    def _trial(self, prefix: tuple[int, ...], completion: Completion) -> Trial:
        return Trial(
            prefix=prefix,
            tokens=completion.tokens,
            text=completion.text,
            score=self._score(completion.text),
            finish=completion.finish,
        )

    def _score(self, answer: str) -> Score:
        """Score an answer; what a deterministic reward said once is not asked again."""
        if answer in self._scores:
            return self._scores[answer]
        case = Case(
            question=self._question,
            answer=answer,
            conversation=self._conversation,
            judge=self._judge,
        )
        score = checked_score(self._reward, case)
        if self._reward.deterministic:
            self._scores[answer] = score
        return score
