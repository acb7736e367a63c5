"""latent-agent: a LangChain chat model that searches its own latent space.

LatentSeek (arXiv 2505.13308) over any frozen Hugging Face causal LM.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latent_agent.call.agent import LatentAgent
    from latent_agent.chat.chat_model import ChatLatentSeek
    from latent_agent.chat.embeddings import LatentSeekEmbeddings
    from latent_agent.chat.llm import LatentSeekLLM
    from latent_agent.chat.retriever import TraceRetriever
    from latent_agent.chat.runnable import as_runnable
    from latent_agent.errors import LatentAgentError
    from latent_agent.reward import (
        ExactMatch,
        FormatReward,
        JudgeReward,
        Reward,
        SelfReward,
        ToolCallReward,
        WeightedSum,
    )

_PLACES = {
    "ChatLatentSeek": "latent_agent.chat.chat_model",
    "ExactMatch": "latent_agent.reward",
    "FormatReward": "latent_agent.reward",
    "JudgeReward": "latent_agent.reward",
    "LatentAgent": "latent_agent.call.agent",
    "LatentAgentError": "latent_agent.errors",
    "LatentSeekEmbeddings": "latent_agent.chat.embeddings",
    "LatentSeekLLM": "latent_agent.chat.llm",
    "Reward": "latent_agent.reward",
    "SelfReward": "latent_agent.reward",
    "ToolCallReward": "latent_agent.reward",
    "TraceRetriever": "latent_agent.chat.retriever",
    "as_runnable": "latent_agent.chat.runnable",
    "WeightedSum": "latent_agent.reward",
}

__all__ = [
    "ChatLatentSeek",
    "ExactMatch",
    "FormatReward",
    "JudgeReward",
    "LatentAgent",
    "LatentAgentError",
    "LatentSeekEmbeddings",
    "LatentSeekLLM",
    "Reward",
    "SelfReward",
    "ToolCallReward",
    "TraceRetriever",
    "WeightedSum",
    "as_runnable",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: torch takes seconds."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
