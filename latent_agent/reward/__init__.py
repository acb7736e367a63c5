"""Rewards: scores of answers in [-1, 0]."""

from latent_agent.reward.base import CallableReward, Case, Reward, Score, as_reward
from latent_agent.reward.feedback import FeedbackReward, OutcomeReward
from latent_agent.reward.outside import JudgeReward, WeightedSum
from latent_agent.reward.rules import ExactMatch, FormatReward
from latent_agent.reward.self_reward import SelfReward
from latent_agent.reward.tool_calls import StructuredReward, ToolCallReward, ToolTurnReward

__all__ = [
    "CallableReward",
    "Case",
    "ExactMatch",
    "FeedbackReward",
    "FormatReward",
    "JudgeReward",
    "OutcomeReward",
    "Reward",
    "Score",
    "SelfReward",
    "StructuredReward",
    "ToolCallReward",
    "ToolTurnReward",
    "WeightedSum",
    "as_reward",
]
