"""A pool's answers as rewards see them, and the rewards that need no model."""

from collections.abc import Mapping, Sequence

from latent_agent import (
    AgreementReward,
    CertaintyReward,
    EquationReward,
    Lexicographic,
    WeightedSum,
)
from latent_agent.evaluation.pool_answers import cases
from latent_agent.evaluation.pool_file import PooledQuestion
from latent_agent.reward import Reward

FREE: Mapping[str, Reward] = {
    "agreement": AgreementReward(),
    "agreement-by-probability": AgreementReward("probability"),
    "agreement-by-perplexity": AgreementReward("perplexity"),
    "agreement, certainty": Lexicographic(AgreementReward(), CertaintyReward()),
    "agreement, equations": Lexicographic(AgreementReward(), EquationReward()),
    "agreement + equations": WeightedSum((AgreementReward(), 1.0), (EquationReward(), 1.0)),
    "equations": EquationReward(),
    "equations, certainty": Lexicographic(EquationReward(), CertaintyReward("whole")),
    "certainty, worst": CertaintyReward("worst"),
    "certainty, tail": CertaintyReward("tail"),
    "certainty, whole": CertaintyReward("whole"),
}
"""Rewards that cost nothing once answers are there."""


def scored(reward: Reward, asked: Sequence[PooledQuestion]) -> list[list[float]]:
    """Return the scores of all answers, a row a question, by a reward that needs no model."""
    return [[score.value for score in reward.score_round(cases(one))] for one in asked]
