"""One conversation on its way from prompt to answer."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from latent_agent.call.answer_format import FREE_TEXT, Form
from latent_agent.call.progress import Progress
from latent_agent.call.scorer import Scorer
from latent_agent.call.stored_call import call_text
from latent_agent.call.writer import Writer
from latent_agent.errors import BudgetSpent
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn, last_question, thoughts_apart, transcript
from latent_agent.model.engine import Completion, Finish
from latent_agent.model.registry import SharedModel
from latent_agent.model.sampling import Sampler
from latent_agent.model.thinking import Thinking
from latent_agent.recall.warm_start import WarmStart
from latent_agent.reward import Case, Reward
from latent_agent.reward.self_judge import SelfJudge
from latent_agent.search.types import Row, SearchRecord, Start, Trial
from latent_agent.settings import Settings
from latent_agent.tools.call import ToolCall


class Call:
    """What writes the answers of one call, what scores them, and what both may spend.

    Attributes:
        report: Reports an event, with the forwarded tokens so far.
        last: The last whole answer, judged or not, and its source.
    """

    def __init__(
        self,
        model: SharedModel,
        settings: Settings,
        reward: Reward,
        turns: Sequence[Turn],
        prompt: list[int],
        progress: Progress | None = None,
        form: Form = FREE_TEXT,
    ) -> None:
        self.model, self.settings, self.prompt = model, settings, prompt
        self.question, self.turns, self.form = last_question(turns), turns, form
        progress = progress or Progress()
        self.engine = model.engine()
        self.thinking = Thinking(self.engine, prompt)
        self._read, self.constraint = form.reader(self.engine), form.constraint(self.engine)
        budget = Budget(settings.max_forwarded_tokens, settings.timeout, progress.cancelled)

        def report(event: str, **details: Any) -> None:
            # Bound to no call: a circle would keep its cache until garbage is collected.
            progress.report(event, **details, forwarded_tokens=budget.total)

        self.budget, self.report = budget, report
        self.writer = Writer(
            self.engine, settings, prompt, budget, self.constraint, report, progress.on_draft
        )
        template = settings.chat_template_kwargs
        case = Case(
            question=self.question,
            answer="",
            conversation=transcript(thoughts_apart(turns, model.tokenizer)),
            judge=SelfJudge(self.engine, budget, model.judge_prompts, template),
        )
        self._scorer = Scorer(reward, case, settings.threshold, report)
        self.last: tuple[Completion, str] | None = None

    def read(self, tokens: Sequence[int], text: str) -> tuple[str, tuple[ToolCall, ...]]:
        """Take the tool calls out of an answer; what was thought before it calls nothing."""
        return self._read(self.thinking.parts(tokens).tokens, text)

    @property
    def stored_conversation(self) -> str | None:
        """What was asked, as a trace keeps it."""
        return call_text(self.turns, self.form)

    def decode(self, latents: torch.Tensor, sampler: Sampler) -> tuple[int, ...]:
        """Choose a token for each latent; see `Searchable`."""
        return self.writer.decode(latents, sampler)

    def warm_starts(self, warm_starts: Sequence[WarmStart]) -> Iterator[Start]:
        """Score warm starts, each only when it is asked for; raises what `attempt` does.

        Needs the draft's opening alone. One that leaves the draft's tokens as they are is no
        answer of its own.
        """
        for warm in warm_starts:
            prefix = self.writer.new_prefix(warm.latents)
            if prefix is not None:
                trial = self.attempt(prefix, self.writer.greedy, warm.source)
                yield Start(trial=trial, latents=warm.latents)

    def scored_draft(self) -> Start:
        """Score the draft, which is written now if it was not; raises what `attempt` does."""
        draft, base = self.writer.draft(), self.writer.base()
        if draft.finish in ("time", "tokens"):
            raise BudgetSpent(draft.finish)
        return Start(trial=self._trial(draft.tokens[: len(base)], draft, "draft"), latents=base)

    def attempt(self, prefix: tuple[int, ...], sampler: Sampler, source: str = "search") -> Trial:
        """Continue a prefix to a whole answer and score it; see `Searchable`."""
        return next(self.attempts([(prefix, sampler)], source))

    def attempts(self, rows: Sequence[Row], source: str = "search") -> Iterator[Trial]:
        """Continue prefixes to whole answers, in one batch, and score each; see `Searchable`.

        With a budget of tokens one is written after the other, so that each is judged before the
        next one spends what that takes.
        """
        at_once = 1 if self.settings.max_forwarded_tokens is not None else len(rows)
        for first in range(0, len(rows), at_once):
            block = rows[first : first + at_once]
            spent: Finish | None = None
            for (prefix, _), completion in zip(block, self.writer.continue_all(block), strict=True):
                if completion.finish in ("time", "tokens"):
                    spent = completion.finish
                else:
                    yield self._trial(prefix, completion, source)
            if spent is not None:
                raise BudgetSpent(spent)

    def _trial(self, prefix: tuple[int, ...], completion: Completion, source: str) -> Trial:
        self.last = completion, source
        answer, calls = self.read(completion.tokens, completion.text)
        return Trial(
            prefix=prefix,
            tokens=completion.tokens,
            text=completion.text,
            score=self._scorer.score(completion, answer, calls, source),
            finish=completion.finish,
            source=source,
            calls=calls,
        )

    def report_step(self, search: SearchRecord) -> None:
        """Report a gradient step."""
        best = search.best.trial.score.value if search.best else None
        self.report("step", step=search.iterations, reward=search.rewards[-1], best=best)
