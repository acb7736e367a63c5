"""Scores the answers of one call."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from latent_agent.call.progress import Report
from latent_agent.errors import RewardError
from latent_agent.model.engine import Completion
from latent_agent.reward.base import Case, Reward, Score, checked_scores
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

    def scores(self, answers: Sequence[Unscored]) -> Iterator[Score | RewardError]:
        """Score the answers of a round.

        A thought that does not end is refused without asking the reward.

        Yields:
            Each answer's score, in their order; the error where the reward fails for it.

        Raises:
            BudgetSpent: If a budget ends while a judge works.
        """
        keys = [self._key(place, one) for place, one in enumerate(answers)]
        new: dict[Hashable, Unscored] = {}  # of equal answers the first
        for key, one in zip(keys, answers, strict=True):
            if key not in self._scores:
                new.setdefault(key, one)
        found: dict[Hashable, Score | RewardError] = {}
        coming = self._ask(list(new.values()))
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

    def _ask(self, answers: Sequence[Unscored]) -> Iterator[Score | RewardError]:
        """Score answers, none of which is known."""
        cases = [
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
        scores = checked_scores(self._reward, cases)
        if self._reward.relative:
            self._scored += [replace(case, earlier=()) for case in cases]
        for one in answers:
            whole = one.completion.thought_finished
            yield next(scores) if whole else Score(value=-1.0, vetoed=True)

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
