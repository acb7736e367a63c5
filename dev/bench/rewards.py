"""Rewards for measuring: the judge does its whole work, but its verdict is settled beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from latent_agent.reward.base import Case, Reward, Score
from latent_agent.reward.judge import Judge, JudgeRequest


class Refusing(Reward):
    """Asks another reward, and accepts nothing: every step is taken, and each is pushed away."""

    def __init__(self, judge: Reward) -> None:
        self._judge = judge

    def score(self, case: Case) -> Score:
        """Pay for a verdict, and refuse."""
        return replace(self._judge.score(case), value=-1.0, vetoed=True)


class SecondThoughts(Reward):
    """Asks another reward, refuses each question's first answer, and accepts all others.

    So each question is searched once. From `settled` on all answers are accepted.
    """

    def __init__(self, judge: Reward) -> None:
        self._judge = judge
        self._refused: dict[str, str] = {}
        self.decided = False

    def score(self, case: Case) -> Score:
        """Pay for a verdict, and say what is settled."""
        first = self._refused.setdefault(case.question, case.answer) == case.answer
        refused = first and not self.decided
        found = self._judge.score(case)
        return replace(found, value=-1.0 if refused else 0.0, vetoed=refused)


@dataclass(frozen=True)
class Watched(Reward):
    """Asks another reward, and keeps what the LM was asked for each answer."""

    reward: Reward
    asked: list[Sequence[JudgeRequest]] = field(default_factory=list[Sequence[JudgeRequest]])

    def score(self, case: Case) -> Score:
        """Score with the other reward."""
        judge = None if case.judge is None else _WatchedJudge(case.judge, self.asked)
        return self.reward.score(replace(case, judge=judge))


@dataclass(frozen=True)
class _WatchedJudge:
    judge: Judge
    asked: list[Sequence[JudgeRequest]]

    @property
    def prompts(self) -> Mapping[str, Any] | None:
        return self.judge.prompts

    def tells_apart(self, words: Sequence[str]) -> bool:
        return self.judge.tells_apart(words)

    def ask(self, requests: Sequence[JudgeRequest]) -> list[str]:
        self.asked.append(requests)
        return self.judge.ask(requests)
