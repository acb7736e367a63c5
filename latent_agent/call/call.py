"""One conversation on its way from prompt to answer."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch

from latent_agent.call.answer_format import FREE_TEXT, Form
from latent_agent.call.progress import Progress
from latent_agent.call.round_end import RoundEnd
from latent_agent.call.scorer import Scorer, Unscored
from latent_agent.call.stored_call import call_text
from latent_agent.call.tried import Tried
from latent_agent.call.writer import Writer
from latent_agent.errors import BudgetSpent, RewardError
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn, last_question, thoughts_apart, transcript
from latent_agent.model.engine import Completion
from latent_agent.model.prompt import encode_text
from latent_agent.model.registry import SharedModel
from latent_agent.model.sampling import Sampler
from latent_agent.model.soft_prefix import SoftPass, SoftPrefix
from latent_agent.model.thinking import Thinking
from latent_agent.recall.warm_start import WarmStart
from latent_agent.reward import Case, Reward
from latent_agent.reward.self_judge import SelfJudge
from latent_agent.search.needs import width_of
from latent_agent.search.types import Candidate, SearchRecord, Start, Trial
from latent_agent.settings import Settings
from latent_agent.tools.call import ToolCall

_COMPARED = 5  # answers at least that a relative reward is first given


class Call:
    """What writes the answers of one call, what scores them, and what both may spend.

    Attributes:
        report: Reports an event, with the forwarded tokens so far.
        last: The last whole answer, judged or not, and its source.
        failure: The last failure of the reward, of one answer or of all.
        width: Sets of latents that a round of its search tries.
        run: Id of the run that the call is; None: it has none.
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
        self.run = progress.run
        self.engine = model.engine()
        self.thinking = Thinking(self.engine, prompt)
        self._read, self.constraint = form.reader(self.engine), form.constraint(self.engine)
        budget = Budget(settings.max_forwarded_tokens, settings.timeout, progress.cancelled)

        def report(event: str, **details: Any) -> None:
            # Bound to no call: a circle would keep its cache until garbage is collected.
            progress.report(event, **details, forwarded_tokens=budget.total)

        self.budget, self.report = budget, report
        self.writer = Writer(
            self.engine, settings, prompt, budget, self.constraint, report, progress.on_draft,
            logprobs=reward.reads_logprobs,
        )  # fmt: skip
        template = settings.chat_template_kwargs
        case = Case(
            question=self.question,
            answer="",
            conversation=transcript(thoughts_apart(turns, model.tokenizer)),
            judge=SelfJudge(self.engine, budget, model.judge_prompts, template),
        )
        self._scorer = Scorer(reward, case, settings.threshold, report)
        self.last: tuple[Completion, str] | None = None
        self.failure: RewardError | None = None
        self._ends_rounds = reward.ends_rounds
        self.width = width_of(settings.width, self.engine)
        self._drafts = settings.drafts
        if reward.relative:  # there is nothing to compare a lone draft with
            wanted = settings.drafts if settings.drafts > 1 else self.engine.good_width
            self._drafts = max(wanted, _COMPARED)

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

    def starts(self, warm_starts: Sequence[WarmStart]) -> Iterator[list[Start]]:
        """Score warm starts, the draft and sampled drafts, in rounds; raises what `attempts` does.

        One after the other, each written when it is asked for; or all in one batch, where a round
        has room for several and no budget of tokens wants the first one judged before the next.
        """
        samples = range(1, self._drafts)
        if self.settings.max_forwarded_tokens is not None or (self.width == 1 and not samples):
            for warm in warm_starts:
                yield from self._start_round([warm], range(0), draft=False)
            yield [self.scored_draft()]
            for number in samples:
                yield from self._start_round((), range(number, number + 1), draft=False)
        else:
            yield from self._start_round(warm_starts, samples, draft=True)

    def scored_draft(self) -> Start:
        """Score the draft, which is written now if it was not; raises what `attempts` does."""
        (starts,) = self._start_round((), range(0), draft=True)
        return starts[0]

    def _start_round(
        self, warm_starts: Sequence[WarmStart], samples: range, *, draft: bool
    ) -> Iterator[list[Start]]:
        """Score starts that are written in one batch; there is no round if there are none."""
        tried = self._written(warm_starts, samples, draft=draft)
        starts: list[Start] = []
        failure: BudgetSpent | RewardError | None = None
        try:
            for one, trial in zip(tried, self._trials(tried), strict=True):
                if trial is not None:
                    starts.append(one.start(trial))
        except (BudgetSpent, RewardError) as error:
            failure = error
        if starts:  # what was scored counts, whatever broke off
            yield starts
        if failure is not None:
            raise failure

    def _written(
        self, warm_starts: Sequence[WarmStart], samples: range, *, draft: bool
    ) -> list[Tried]:
        """Write starts in one batch.

        A warm start that leaves the draft's tokens as they are is no answer of its own.
        """
        warm: dict[tuple[int, ...], WarmStart] = {}
        for one in warm_starts:
            if (prefix := self.writer.new_prefix(one.latents, whole=one.all_kept)) is not None:
                warm.setdefault(prefix, one)
        sources = [*(one.source for one in warm.values()), *["sample"] * len(samples), "draft"]
        end = self._round_end(len(sources) - (not draft))
        on_end = [] if end is None else [end.of(source) for source in sources]
        written = self.writer.starts(list(warm), samples, draft=draft, on_end=on_end)
        tried = [
            Tried(new, prefix, one.source, one.latents, one.neighbours, new.latents)
            for (prefix, one), new in zip(warm.items(), written, strict=False)
        ]
        if draft:
            drafted, base = self.writer.draft(), self.writer.base()
            tried.append(Tried(drafted, drafted.tokens[: len(base)], "draft", base))
        for sampled in written[len(warm) :]:
            known = self.writer.as_latents(sampled) if sampled.whole else ((), None)
            tried.append(Tried(sampled, known[0], "sample", known[1]))
        return _cut(tried, end)

    def attempt(self, row: Candidate, source: str = "search") -> Trial:
        """Write one whole answer and score it; raises what `attempts` does."""
        (trial,) = self.attempts([row], source)
        assert trial is not None
        return trial

    def attempts(self, rows: Sequence[Candidate], source: str = "search") -> Iterator[Trial | None]:
        """Write whole answers, in one batch, and score them; see `Searchable`.

        With a budget of tokens one is written after the other, so that each is judged before the
        next one spends what that takes.
        """
        at_once = 1 if self.settings.max_forwarded_tokens is not None else len(rows)
        scored, failure = 0, None
        for first in range(0, len(rows), at_once):
            block = rows[first : first + at_once]
            end = self._round_end(len(block))
            on_end = None if end is None else end.of(source)
            written = self.writer.continue_all(block, on_end)
            tried = [
                self._tried(row, completion, source)
                for row, completion in zip(block, written, strict=True)
            ]
            tried = _cut(tried, end)
            try:
                for trial in self._trials(tried):
                    scored += trial is not None
                    yield trial
            except RewardError as error:  # of all of the block, which others may make good
                failure = error
        if failure is not None and not scored:
            raise failure

    def _tried(self, row: Candidate, completion: Completion, source: str) -> Tried:
        if row.soft is None or not completion.whole:
            return Tried(completion, row.prefix, source)
        # What a trace keeps are an answer's own latents, whatever led to it.
        prefix, latents = self.writer.as_latents(completion)
        return Tried(completion, prefix, source, latents)

    def soft_prefix(self, text: str, depth: float) -> SoftPrefix:
        """Return a text behind the prompt, with its own states; see `Searchable`."""
        ids = encode_text(self.model.tokenizer, text)
        return self.writer.soft_prefix(tuple(ids), int(depth * self.engine.blocks))

    def soft_pass(self, soft: SoftPrefix, answers: Sequence[tuple[int, ...]]) -> SoftPass:
        """Read answers behind the prompt and a soft prefix; see `Searchable`."""
        return self.writer.soft_pass(soft, answers)

    def _round_end(self, answers: int) -> RoundEnd | None:
        """Return what ends a round of so many answers early; None: nothing may."""
        if answers < 2 or self.settings.round_ends == "last" or not self._ends_rounds:
            return None
        if self.settings.threshold <= -1:  # all are accepted: the best of the round is wanted
            return None
        return RoundEnd(self._scorer, self._unscored, answers)

    def _unscored(self, completion: Completion, source: str) -> Unscored:
        answer, calls = self.read(completion.tokens, completion.text)
        return Unscored(completion=completion, answer=answer, calls=calls, source=source)

    def _trials(self, tried: Sequence[Tried]) -> Iterator[Trial | None]:
        """Score whole answers as one round; None where the reward failed for one alone.

        And where the round's end cut one off.

        Raises:
            BudgetSpent: If a budget cut one off, once the others are scored.
            RewardError: If the reward failed for all.
        """
        whole = [
            self._unscored(one.completion, one.source) for one in tried if one.completion.whole
        ]
        discarded = sum(one.completion.finish == "discarded" for one in tried)
        scores = self._scorer.scores(whole, discarded)
        judged, scored, failure = zip(whole, scores, strict=True), 0, None
        for one in tried:
            if not one.completion.whole:
                yield None
                continue
            self.last = one.completion, one.source
            unscored, score = next(judged)
            if isinstance(score, RewardError):
                self.failure = failure = score
                yield None
                continue
            scored += 1
            yield one.trial(score, unscored.calls)
        for one in tried:
            if one.completion.finish in ("time", "tokens"):
                raise BudgetSpent(one.completion.finish)
        if failure is not None and not scored:
            raise failure

    def report_step(self, search: SearchRecord) -> None:
        """Report a round of the search."""
        best = search.best.trial.score.value if search.best else None
        rewards = search.rewards[-1]
        mean = sum(rewards) / len(rewards)
        self.report("step", step=search.iterations, reward=mean, rewards=list(rewards), best=best)


def _cut(tried: Sequence[Tried], end: RoundEnd | None) -> list[Tried]:
    """Return answers, those discarded that ended after their round."""
    late = set[tuple[int, ...]]() if end is None else end.late()
    return [
        replace(one, completion=replace(one.completion, finish="discarded"))
        if one.completion.tokens in late
        else one
        for one in tried
    ]
