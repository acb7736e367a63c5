"""The stages of one call, and what they share: prompt, cache, bill, and answers already seen."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from latent_agent.call.answer_format import FREE_TEXT, Form
from latent_agent.call.progress import Progress
from latent_agent.errors import BudgetSpent
from latent_agent.model.budget import Budget, Stage
from latent_agent.model.conversation import Turn, last_question, thoughts_apart, transcript
from latent_agent.model.generate import AnswerLimits, Completion, complete
from latent_agent.model.kv_sequence import CachedSequence
from latent_agent.model.registry import SharedModel
from latent_agent.model.sampling import Sampler
from latent_agent.model.thinking import Thinking
from latent_agent.recall.warm_start import WarmStart
from latent_agent.reward import Case, Reward, Score
from latent_agent.reward.base import checked_score
from latent_agent.reward.self_judge import SelfJudge
from latent_agent.search.prefix import read_prefix
from latent_agent.search.refine import Start, Trial
from latent_agent.settings import Settings
from latent_agent.tools.call import ToolCall


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
        progress: Progress | None = None,
        form: Form = FREE_TEXT,
    ) -> None:
        self.model, self.backbone = model, model.backbone()
        self.prompt, self.question = prompt, last_question(turns)
        self.turns, self.form = turns, form
        self._progress = progress or Progress()
        self.budget = Budget(
            settings.max_forwarded_tokens, settings.timeout, self._progress.cancelled
        )
        self.chat_template_kwargs = settings.chat_template_kwargs
        apart = thoughts_apart(turns, model.tokenizer)
        self._settings, self._reward, self._conversation = settings, reward, transcript(apart)
        self.thinking = Thinking(self.backbone, prompt)
        self._read, self.constraint = form.reader(self.backbone), form.constraint(self.backbone)
        self._greedy = Sampler(0.0, constraint=self.constraint)
        self._sequence = CachedSequence(self.backbone, self.budget)
        self._judge = SelfJudge(
            self.backbone, self.budget, model.judge_prompts, settings.chat_template_kwargs
        )
        room = (model.context_window or len(prompt) + settings.max_tokens) - len(prompt)
        self._limits = AnswerLimits(max_tokens=min(settings.max_tokens, room), stop=settings.stop)
        self._drafting = self._greedy
        if settings.sample_draft or settings.max_iterations == 0:
            self._drafting = Sampler(
                settings.temperature,
                settings.seed,
                top_p=settings.top_p,
                constraint=self.constraint,
            )
        self._opening: Completion | None = None
        self._draft: Completion | None = None
        self._completions: dict[tuple[int, ...], Completion] = {}
        self.last: tuple[Completion, str] | None = None
        """The last whole answer, judged or not, and its source."""
        self._scores: dict[tuple[str, bool, bool, tuple[str, ...]], Score] = {}

    def report(self, event: str, **told: Any) -> None:
        """Tell of an event, with the forwarded tokens so far."""
        self._progress.report(event, **told, forwarded_tokens=self.budget.total)

    def read(self, tokens: Sequence[int], text: str) -> tuple[str, tuple[ToolCall, ...]]:
        """Take the tool calls out of an answer; what was thought before it calls nothing."""
        return self._read(self.thinking.parts(tokens).tokens, text)

    def embed(self) -> torch.Tensor:
        """Read the prompt and return its embedding, (d,) float32.

        Raises:
            BudgetSpent: If the prompt alone breaks a budget.
        """
        return self._sequence.embed(self.prompt, "draft")

    def opening(self) -> Completion:
        """Draft no more than the latents that are optimised: all of it, unless N is fixed."""
        fixed = self._settings.prefix_tokens
        if fixed is None:
            return self.draft()
        if self._opening is None:
            limits = replace(self._limits, max_tokens=min(fixed, self._limits.max_tokens))
            self._opening = self._complete((), self._drafting, "draft", limits)
        return self._opening

    def draft(self) -> Completion:
        """Write the first answer, greedy unless the settings say otherwise."""
        if self._draft is None:
            sampler = self._drafting
            begun = self._opening or self._complete((), sampler, "draft", self._limits)
            self._draft = begun
            if begun is self._opening and begun.finish == "length":
                rest = self._complete(begun.tokens, sampler, "draft", self._limits)
                self._draft = replace(rest, latents=torch.cat([begun.latents, rest.latents]))
            made = self._draft
            self.report("draft", text=made.text, tokens=len(made.tokens), finish=made.finish)
        return self._draft

    @property
    def draft_text(self) -> str | None:
        """The draft's text, if there is one."""
        return None if self._draft is None else self._draft.text

    def base(self) -> torch.Tensor:
        """Return the first latents of the greedy draft, (N, d): LatentEvolve's equation 4."""
        begun = self._draft or self.opening()
        return begun.latents[: self._settings.prefix_length(len(begun.tokens))]

    def starts(self, warm_starts: Sequence[WarmStart]) -> Iterator[Start]:
        """Score the warm starts, then the draft, each only when it is asked for.

        A warm start that leaves the draft's tokens as they are is no answer of its own.

        Raises:
            BudgetSpent: If an answer cannot be finished or judged within the budgets.
            RewardError: If the reward breaks its contract.
        """
        for warm in warm_starts:
            begun = self.opening().tokens
            prefix = read_prefix(
                self.backbone.decode, begun, self._settings, warm.latents, self._greedy
            )
            unmoved = prefix == begun[: len(prefix)]
            if not unmoved and prefix not in self._completions:
                trial = self.attempt(prefix, self._greedy, warm.source)
                yield Start(trial=trial, latents=warm.latents)
        draft = self.draft()
        if draft.finish in ("time", "tokens"):
            raise BudgetSpent(draft.finish)
        base = self.base()
        prefix = draft.tokens[: len(base)]
        self._completions[prefix] = draft
        yield Start(trial=self._trial(prefix, draft, "draft"), latents=base)

    def attempt(self, prefix: tuple[int, ...], sampler: Sampler, source: str = "search") -> Trial:
        """Continue a prefix to a whole answer and score it.

        Raises:
            BudgetSpent: If the answer cannot be finished or judged within the budgets.
            RewardError: If the reward breaks its contract.
        """
        self.budget.charge("refine", 0)  # time runs out also where nothing is forwarded
        known = self._completions.get(prefix) if sampler.greedy else None
        completion = known or self._complete(prefix, sampler, "refine", self._limits)
        if completion.finish in ("time", "tokens"):
            raise BudgetSpent(completion.finish)
        if sampler.greedy:
            self._completions[prefix] = completion
        return self._trial(prefix, completion, source)

    def _complete(
        self, prefix: tuple[int, ...], sampler: Sampler, stage: Stage, limits: AnswerLimits
    ) -> Completion:
        return complete(
            self.backbone, self._sequence, self.prompt, prefix,
            limits=limits, sampler=sampler, stage=stage,
            on_token=self._progress.on_draft if stage == "draft" else None,
        )  # fmt: skip

    def _trial(self, prefix: tuple[int, ...], completion: Completion, source: str) -> Trial:
        self.last = completion, source
        return Trial(
            prefix=prefix,
            tokens=completion.tokens,
            text=completion.text,
            score=self._score(completion, source),
            finish=completion.finish,
            source=source,
        )

    def _score(self, completion: Completion, source: str) -> Score:
        """Score an answer; what a deterministic reward said once is not asked again.

        A thought that does not end is no answer: refused, without asking the reward.
        """
        answer, calls = self.read(completion.tokens, completion.text)
        complete = completion.finish == "stop"
        whole = completion.thought_finished
        said = (answer, complete, whole, tuple(call.source for call in calls))
        if said in self._scores:
            return self._scores[said]
        case = Case(
            question=self.question,
            answer=answer,
            conversation=self._conversation,
            judge=self._judge,
            calls=calls,
            complete=complete,
        )
        score = checked_score(self._reward, case) if whole else Score(value=-1.0, vetoed=True)
        if self._reward.deterministic:
            self._scores[said] = score
        self.report(
            "verdict",
            source=source,
            reward=score.value,
            accepted=score.passes(self._settings.threshold),
            checks=dict(score.checks),
            text=completion.text,
        )
        return score
