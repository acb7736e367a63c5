"""Rewards made of others: an outside chat model as judge, and weighted sums."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from latent_agent.errors import RewardError, SettingError
from latent_agent.reward.base import Case, JudgeRequest, Reward, Score, built_in_id, checked_scores
from latent_agent.reward.self_reward import SelfReward


class ChatModel(Protocol):
    """Anything with LangChain's ``invoke``."""

    def invoke(self, input: str, /) -> Any:
        """Return a message whose text is the reply."""
        ...


class _OutsideJudge:
    """An outside chat model in the place of the LM itself."""

    prompts: Mapping[str, Any] | None = None

    def __init__(self, chat_model: ChatModel) -> None:
        self._chat_model = chat_model

    def ask(self, requests: Sequence[JudgeRequest]) -> list[str]:
        replies = [self._chat_model.invoke(request.prompt) for request in requests]
        return [str(getattr(reply, "text", reply)) for reply in replies]


def _model_name(chat_model: Any) -> str:
    names = (getattr(chat_model, name, None) for name in ("model_name", "model"))
    named = next((name for name in names if isinstance(name, str)), "")
    return f"{type(chat_model).__module__}:{type(chat_model).__qualname__} {named}".strip()


class JudgeReward(Reward):
    """The four checks of `SelfReward`, asked of any LangChain chat model.

    Args:
        chat_model: The judge.
        deterministic: Whether the judge always says the same of the same answer; only then are
            its scores remembered within a call.
        strict: A failed "answer correct" is never accepted.
        weights: Other weights, by check.
    """

    def __init__(
        self,
        chat_model: ChatModel,
        *,
        deterministic: bool = False,
        strict: bool = True,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        self.deterministic = deterministic
        self._name = _model_name(chat_model)
        self._judge = _OutsideJudge(chat_model)
        self._checks = SelfReward("checks", weights=weights, strict=strict)

    @property
    def id(self) -> str:
        """The judging model's name, and the checks' own id."""
        return built_in_id(self, model=self._name, checks=self._checks.id)

    def score(self, case: Case) -> Score:
        """Ask the outside judge."""
        conversation = case.conversation or case.question
        return self._checks.score(replace(case, conversation=conversation, judge=self._judge))


class WeightedSum(Reward):
    """The weighted mean of several rewards, which again lies in [-1, 0].

    Args:
        parts: (reward, weight) pairs; weights are positive. A veto of one is a veto of all.
    """

    def __init__(self, *parts: tuple[Reward, float]) -> None:
        if not parts or any(not weight > 0 for _, weight in parts):
            raise SettingError(
                f"WeightedSum must hold rewards with positive weights, got {parts!r}; for "
                "example WeightedSum((SelfReward(), 2.0), (FormatReward('boxed'), 1.0))"
            )
        self._parts = parts
        self.deterministic = all(reward.deterministic for reward, _ in parts)

    @property
    def id(self) -> str:
        """The parts' ids and weights."""
        return built_in_id(self, parts=[[reward.id, weight] for reward, weight in self._parts])

    @property
    def scores_rounds(self) -> bool:
        """Whether a part does."""
        return any(reward.scores_rounds for reward, _ in self._parts)

    def score(self, case: Case) -> Score:
        """Score with each part and take the weighted mean."""
        return self.score_round([case])[0]

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Score a round with each part, and take each answer's weighted mean."""
        by_part = [list(checked_scores(reward, cases)) for reward, _ in self._parts]
        return [self._mean(scores) for scores in zip(*by_part, strict=True)]

    def _mean(self, parts: Sequence[Score | RewardError]) -> Score:
        scores: list[tuple[Score, float]] = []
        for score, (_, weight) in zip(parts, self._parts, strict=True):
            if isinstance(score, RewardError):
                raise score
            scores.append((score, weight))
        total = sum(weight for _, weight in scores)
        return Score(
            value=sum(score.value * weight for score, weight in scores) / total,
            vetoed=any(score.vetoed for score, _ in scores),
            checks={
                f"{number}.{name}": check
                for number, (score, _) in enumerate(scores)
                for name, check in score.checks.items()
            },
        )
