"""Rewards for tool calls and structured answers: does it fit the schema?"""

from abc import abstractmethod
from collections.abc import Sequence

from latent_agent.reward.base import Case, Reward, Score, built_in_id


class ToolCallReward(Reward):
    """Share of the answer's calls that fit their tools' schemas, minus 1; no call at all: -1."""

    reads_calls = True
    reads_model = False

    @property
    def id(self) -> str:
        """The same for all tools: each call is checked against those that it was offered."""
        return built_in_id(self)

    def score(self, case: Case) -> Score:
        """Count the calls that fit."""
        return _calls_score(case)


class _WrappedReward(Reward):
    """Another reward, in some cases overruled."""

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self.deterministic = reward.deterministic
        self.threshold, self.relative = reward.threshold, reward.relative
        self.reads_logprobs, self.reads_model = reward.reads_logprobs, reward.reads_model

    @property
    def id(self) -> str:
        """The other reward's id."""
        return built_in_id(self, inner=self._reward.id)

    @property
    def scores_rounds(self) -> bool:
        """Whether the other one does."""
        return self._reward.scores_rounds

    @abstractmethod
    def _overrule(self, case: Case) -> Score | None:
        """Score a case without the other reward; None: that one is asked."""

    def score(self, case: Case) -> Score:
        """Overrule, or ask the other reward."""
        return self.score_round([case])[0]

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Overrule, or ask the other reward of all that are left."""
        ruled = [self._overrule(case) for case in cases]
        left = [case for case, score in zip(cases, ruled, strict=True) if score is None]
        asked = iter(self._reward.score_round(left) if left else ())
        return [next(asked) if score is None else score for score in ruled]


class ToolTurnReward(_WrappedReward):
    """Scores turns that call tools by their calls' validity alone, all others by another reward.

    A call is no answer yet: asked whether one is correct and complete, a judge refuses it, and the
    search would go on to whatever it likes better. What the tools return is judged, in the turn
    after.

    Args:
        reward: Scores the turns that call none.
    """

    reads_calls = True

    def _overrule(self, case: Case) -> Score | None:
        return _calls_score(case) if case.calls else None


class StructuredReward(_WrappedReward):
    """Refuses a structured answer that was cut off; scores all others by another reward.

    Args:
        reward: Scores what is complete.
    """

    def __init__(self, reward: Reward) -> None:
        super().__init__(reward)
        self.reads_calls = reward.reads_calls

    def _overrule(self, case: Case) -> Score | None:
        if case.complete:
            return None
        return Score(value=-1.0, vetoed=True, checks={"complete": 0.0})


def _calls_score(case: Case) -> Score:
    valid = sum(call.valid for call in case.calls) / max(len(case.calls), 1)
    return Score(value=valid - 1.0, checks={"calls": valid})
