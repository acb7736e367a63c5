"""Rewards for tool calls and structured answers: does it fit the schema?"""

from latent_agent.reward.base import Case, Reward, Score, built_in_id


class ToolCallReward(Reward):
    """Share of the answer's calls that fit their tools' schemas, minus 1; no call at all: -1."""

    reads_calls = True

    @property
    def id(self) -> str:
        """The same for all tools: each call is checked against those that it was offered."""
        return built_in_id(self)

    def score(self, case: Case) -> Score:
        """Count the calls that fit."""
        return Score(value=_fitting(case) - 1.0, checks={"calls": _fitting(case)})


class ToolTurnReward(Reward):
    """Scores turns that call tools by their calls' validity alone, all others by another reward.

    A call is no answer yet: asked whether one is correct and complete, a judge refuses it, and the
    search would go on to whatever it likes better. What the tools return is judged, in the turn
    after.

    Args:
        reward: Scores the turns that call none.
    """

    reads_calls = True

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self.deterministic = reward.deterministic

    @property
    def id(self) -> str:
        """The other reward's id."""
        return built_in_id(self, inner=self._reward.id)

    def score(self, case: Case) -> Score:
        """Check the calls, or ask the other reward."""
        if not case.calls:
            return self._reward.score(case)
        return Score(value=_fitting(case) - 1.0, checks={"calls": _fitting(case)})


class StructuredReward(Reward):
    """Refuses a structured answer that was cut off; scores all others by another reward.

    Args:
        reward: Scores what is complete.
    """

    def __init__(self, reward: Reward) -> None:
        self._reward = reward
        self.deterministic = reward.deterministic
        self.reads_calls = reward.reads_calls

    @property
    def id(self) -> str:
        """The other reward's id."""
        return built_in_id(self, inner=self._reward.id)

    def score(self, case: Case) -> Score:
        """Refuse what is incomplete, or ask the other reward."""
        if not case.complete:
            return Score(value=-1.0, vetoed=True, checks={"complete": 0.0})
        return self._reward.score(case)


def _fitting(case: Case) -> float:
    return sum(call.valid for call in case.calls) / len(case.calls) if case.calls else 0.0
