"""Scores the answers of one call."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from latent_agent.call.progress import Report
from latent_agent.errors import RewardError
from latent_agent.model.engine import Completion
from latent_agent.reward.base import Case, Reward, Score, checked_scores, checked_settled
from latent_agent.reward.final_answer import readings
from latent_agent.reward.finals import choices_in, chosen
from latent_agent.tools.call import ToolCall


@dataclass(frozen=True, kw_only=True)
class Unscored:
    """An answer that is to be scored: what it says outside its tool calls, and these."""

    completion: Completion
    answer: str
    calls: Sequence[ToolCall]
    source: str

    @property
    def complete(self) -> bool:
        """Whether it ended by itself."""
        return self.completion.finish == "stop"


class Scorer:
    """Scores answers; what a deterministic reward said once is not asked again.

    Args:
        reward: The call's.
        case: What all its answers have in common.
        threshold: Above it an answer is accepted.
        report: Called with the event ``verdict`` after each score that is not repeated.
    """

    def __init__(self, reward: Reward, case: Case, threshold: float, report: Report) -> None:
        self._reward, self._case = reward, case
        self._threshold, self._report = threshold, report
        self._scores: dict[Hashable, Score] = {}
        self._choices = choices_in(case.question)
        self._scored: list[Case] = []  # in their order; for a relative reward alone
        # Of answers whose round is not over, by their tokens; in the order of their ends.
        self._early: dict[tuple[int, ...], list[Score | RewardError]] = {}

    def passes_early(self, one: Unscored) -> bool:
        """Score an answer of a round that goes on, and keep that for `scores`.

        A relative reward is not asked: see `settled`.
        """
        if self._reward.relative:
            return False
        (score,) = self._judged([one], {})
        self._early.setdefault(one.completion.tokens, []).append(score)
        return isinstance(score, Score) and score.passes(self._threshold)

    def settled(self, answers: Sequence[Unscored], unfinished: int) -> bool:
        """Whether one of some answers passes, whatever the unfinished of their round will say."""
        if not self._reward.relative:
            return False
        return checked_settled(self._reward, self._cases(answers), unfinished, self._threshold)

    def scores(
        self, answers: Sequence[Unscored], discarded: int = 0
    ) -> Iterator[Score | RewardError]:
        """Score the answers of a round.

        A thought that does not end is refused without asking the reward.

        Args:
            answers: Those that are whole.
            discarded: How many the round's end cut off; a relative reward counts them.

        Yields:
            Each answer's score, in their order; the error where the reward fails for it.

        Raises:
            BudgetSpent: If a budget ends while a judge works.
        """
        early = {
            self._key(place, one): known.pop(0)
            for place, one in enumerate(answers)
            if (known := self._early.get(one.completion.tokens))
        }
        self._early.clear()
        yield from self._judged(answers, early, discarded)

    def _judged(
        self,
        answers: Sequence[Unscored],
        found: dict[Hashable, Score | RewardError],
        discarded: int = 0,
    ) -> Iterator[Score | RewardError]:
        """Score answers, those that are known by key left out."""
        keys = [self._key(place, one) for place, one in enumerate(answers)]
        new: dict[Hashable, Unscored] = {}  # of equal answers the first
        for key, one in zip(keys, answers, strict=True):
            if key not in self._scores and key not in found:
                new.setdefault(key, one)
        coming = self._ask(list(new.values()), discarded)
        for key in keys:
            if key in new and key not in found:
                found[key] = score = next(coming)
                self._note(key, new[key], score)
            yield found[key] if key in found else self._scores[key]

    def _key(self, place: int, one: Unscored) -> Hashable:
        if not self._reward.deterministic:
            return place
        said: Hashable = one.answer
        if self._reward.final_only:  # what compares choices reads their letters
            said = tuple(readings(one.answer)), chosen(self._choices, one.answer)
        whole = one.completion.thought_finished
        return said, one.complete, whole, tuple(call.source for call in one.calls)

    def _ask(self, answers: Sequence[Unscored], discarded: int) -> Iterator[Score | RewardError]:
        """Score answers, none of which is known."""
        cases = self._cases(answers)
        cut = [replace(self._case, complete=False)] * discarded if self._reward.relative else []
        scores = checked_scores(self._reward, [*cases, *cut])
        if self._reward.relative:
            self._scored += [replace(case, earlier=()) for case in cases]
        for one in answers:
            whole = one.completion.thought_finished
            yield next(scores) if whole else Score(value=-1.0, vetoed=True)

    def _cases(self, answers: Sequence[Unscored]) -> list[Case]:
        """Return what the reward is given of answers; of an endless thought it gets nothing."""
        return [
            replace(
                self._case,
                answer=one.answer,
                calls=one.calls,
                complete=one.complete,
                logprobs=one.completion.logprobs,
                tokens=len(one.completion.tokens),
                earlier=tuple(self._scored),
            )
            for one in answers
            if one.completion.thought_finished
        ]

    def _note(self, key: Hashable, one: Unscored, score: Score | RewardError) -> None:
        if isinstance(score, RewardError):
            return
        if self._reward.deterministic:
            self._scores[key] = score
        self._report(
            "verdict",
            source=one.source,
            reward=score.value,
            accepted=score.passes(self._threshold),
            checks=dict(score.checks),
            text=one.completion.text,
            complete=one.complete,
        )
