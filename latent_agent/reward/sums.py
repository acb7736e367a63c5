"""Rewards made of others: a weighted mean, or one after the other."""

from abc import abstractmethod
from collections.abc import Sequence

from latent_agent.errors import RewardError, SettingError
from latent_agent.reward.base import Case, Reward, Score, built_in_id, checked_scores

_GRID = 64  # steps of an earlier part; within one of them the later parts decide


class _Combined(Reward):
    """Several rewards as one. A veto of one is a veto of all."""

    def __init__(self, rewards: Sequence[Reward]) -> None:
        self._rewards = rewards
        self.deterministic = all(reward.deterministic for reward in rewards)
        self.relative = any(reward.relative for reward in rewards)
        self.reads_logprobs = any(reward.reads_logprobs for reward in rewards)
        self.reads_model = any(reward.reads_model for reward in rewards)
        self.objective = any(reward.objective for reward in rewards)

    @property
    def scores_rounds(self) -> bool:
        """Whether a part does."""
        return any(reward.scores_rounds for reward in self._rewards)

    def score(self, case: Case) -> Score:
        """Score with each part, and combine what they say."""
        return self.score_round([case])[0]

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Score a round with each part, and combine what they say of each answer."""
        by_part = [list(checked_scores(reward, cases)) for reward in self._rewards]
        return [self._combine(scores) for scores in zip(*by_part, strict=True)]

    def _combine(self, parts: Sequence[Score | RewardError]) -> Score:
        scores: list[Score] = []
        for score in parts:
            if isinstance(score, RewardError):
                raise score
            scores.append(score)
        return Score(
            value=self._value([score.value for score in scores]),
            vetoed=any(score.vetoed for score in scores),
            checks={
                f"{number}.{name}": check
                for number, score in enumerate(scores)
                for name, check in score.checks.items()
            },
        )

    @abstractmethod
    def _value(self, values: Sequence[float]) -> float:
        """Combine the parts' values of one answer."""


class WeightedSum(_Combined):
    """The weighted mean of several rewards, which again lies in [-1, 0].

    Args:
        parts: (reward, weight) pairs; weights are positive. A veto of one is a veto of all.
        threshold: Above it an answer is accepted; None: the settings say.
    """

    def __init__(self, *parts: tuple[Reward, float], threshold: float | None = None) -> None:
        if not parts or any(not weight > 0 for _, weight in parts):
            raise SettingError(
                f"WeightedSum must hold rewards with positive weights, got {parts!r}; for "
                "example WeightedSum((SelfReward(), 2.0), (FormatReward('boxed'), 1.0))"
            )
        super().__init__([reward for reward, _ in parts])
        self._weights = [weight for _, weight in parts]
        self.threshold = threshold

    @property
    def id(self) -> str:
        """The parts' ids and weights."""
        pairs = zip(self._rewards, self._weights, strict=True)
        return built_in_id(self, parts=[[reward.id, weight] for reward, weight in pairs])

    def _value(self, values: Sequence[float]) -> float:
        pairs = zip(values, self._weights, strict=True)
        return sum(value * weight for value, weight in pairs) / sum(self._weights)


class Lexicographic(_Combined):
    """The first reward decides; where it says the same, the second, and so on.

    "The same" is the same 64th of [-1, 0]. The value lies in [-1, 0], within a 64th of the first
    reward's, so that a threshold means nearly what it means for that one.

    Args:
        rewards: Two or more, the most important first. A veto of one is a veto of all.
        threshold: Above it an answer is accepted; None: the first one's, or the settings'.
    """

    def __init__(self, *rewards: Reward, threshold: float | None = None) -> None:
        if len(rewards) < 2:
            raise SettingError(
                f"Lexicographic must hold two rewards or more, got {rewards!r}; for example "
                "Lexicographic(AgreementReward(), CertaintyReward())"
            )
        super().__init__(rewards)
        self.objective = rewards[0].objective  # a search ascends mostly that
        self.threshold = rewards[0].threshold if threshold is None else threshold

    @property
    def id(self) -> str:
        """The parts' ids, in their order."""
        return built_in_id(self, parts=[reward.id for reward in self._rewards])

    def _value(self, values: Sequence[float]) -> float:
        *earlier, value = values
        for one in reversed(earlier):
            # Half a step at most, so that no later part makes up for a step of an earlier one.
            value = (round(one * _GRID) / _GRID + value / (2 * _GRID)) / (1 + 1 / (2 * _GRID))
        return value
