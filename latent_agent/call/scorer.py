"""Scores the answers of one call."""

from collections.abc import Sequence
from dataclasses import replace

from latent_agent.call.progress import Report
from latent_agent.model.engine import Completion
from latent_agent.reward.base import Case, Reward, Score, checked_score
from latent_agent.tools.call import ToolCall


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
        self._scores: dict[tuple[str, bool, bool, tuple[str, ...]], Score] = {}

    def score(
        self, completion: Completion, answer: str, calls: Sequence[ToolCall], source: str
    ) -> Score:
        """Score what was written: an answer outside its tool calls, and these.

        A thought that does not end is refused without asking the reward.

        Raises:
            BudgetSpent: If a budget ends while a judge works.
            RewardError: If the reward breaks its contract.
        """
        complete, whole = completion.finish == "stop", completion.thought_finished
        key = (answer, complete, whole, tuple(call.source for call in calls))
        if key in self._scores:
            return self._scores[key]
        case = replace(self._case, answer=answer, calls=calls, complete=complete)
        score = checked_score(self._reward, case) if whole else Score(value=-1.0, vetoed=True)
        if self._reward.deterministic:
            self._scores[key] = score
        self._report(
            "verdict",
            source=source,
            reward=score.value,
            accepted=score.passes(self._threshold),
            checks=dict(score.checks),
            text=completion.text,
        )
        return score
