"""Rewards: scores of answers in [-1, 0]."""

from latent_agent.reward.agreement import AgreementReward
from latent_agent.reward.base import CallableReward, Case, Reward, Score, as_reward
from latent_agent.reward.certainty import CertaintyReward
from latent_agent.reward.equations import EquationReward
from latent_agent.reward.feedback import FeedbackReward, OutcomeReward
from latent_agent.reward.outside import JudgeReward
from latent_agent.reward.rules import ExactMatch, FormatReward
from latent_agent.reward.scale import ScaleReward
from latent_agent.reward.self_reward import SelfReward
from latent_agent.reward.sums import Lexicographic, WeightedSum
from latent_agent.reward.tool_calls import StructuredReward, ToolCallReward, ToolTurnReward

__all__ = [
    "AgreementReward",
    "CallableReward",
    "Case",
    "CertaintyReward",
    "EquationReward",
    "ExactMatch",
    "FeedbackReward",
    "FormatReward",
    "JudgeReward",
    "Lexicographic",
    "OutcomeReward",
    "Reward",
    "ScaleReward",
    "Score",
    "SelfReward",
    "StructuredReward",
    "ToolCallReward",
    "ToolTurnReward",
    "WeightedSum",
    "as_reward",
]
