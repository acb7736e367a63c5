"""latent-agent: a LangChain chat model that searches its own latent space.

LatentSeek (arXiv 2505.13308) over any frozen Hugging Face causal LM.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latent_agent.call.agent import LatentAgent as LatentAgent
    from latent_agent.chat.chat_model import ChatLatentSeek as ChatLatentSeek
    from latent_agent.chat.embeddings import LatentSeekEmbeddings as LatentSeekEmbeddings
    from latent_agent.chat.llm import LatentSeekLLM as LatentSeekLLM
    from latent_agent.chat.retriever import TraceRetriever as TraceRetriever
    from latent_agent.chat.runnable import as_runnable as as_runnable
    from latent_agent.errors import LatentAgentError as LatentAgentError
    from latent_agent.reward import AgreementReward as AgreementReward
    from latent_agent.reward import CertaintyReward as CertaintyReward
    from latent_agent.reward import EquationReward as EquationReward
    from latent_agent.reward import ExactMatch as ExactMatch
    from latent_agent.reward import FeedbackReward as FeedbackReward
    from latent_agent.reward import FormatReward as FormatReward
    from latent_agent.reward import JudgeReward as JudgeReward
    from latent_agent.reward import Lexicographic as Lexicographic
    from latent_agent.reward import OutcomeReward as OutcomeReward
    from latent_agent.reward import Reward as Reward
    from latent_agent.reward import ScaleReward as ScaleReward
    from latent_agent.reward import SelfReward as SelfReward
    from latent_agent.reward import ToolCallReward as ToolCallReward
    from latent_agent.reward import WeightedSum as WeightedSum

# Threads of torch and llama.cpp that wait for each other in a loop take the cores from each other
# wherever a second program computes: it made calls up to thirty times slower. Libraries read this
# when they are first imported.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    # Spin for a moment, in whichever of the program's threads: left alone, the library cuts the
    # moment to a tenth as soon as two threads compute, which costs llama.cpp a quarter.
    os.environ |= {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "1000"}

_MODULES = {
    "AgreementReward": "latent_agent.reward",
    "CertaintyReward": "latent_agent.reward",
    "ChatLatentSeek": "latent_agent.chat.chat_model",
    "EquationReward": "latent_agent.reward",
    "ExactMatch": "latent_agent.reward",
    "FeedbackReward": "latent_agent.reward",
    "FormatReward": "latent_agent.reward",
    "JudgeReward": "latent_agent.reward",
    "LatentAgent": "latent_agent.call.agent",
    "OutcomeReward": "latent_agent.reward",
    "LatentAgentError": "latent_agent.errors",
    "LatentSeekEmbeddings": "latent_agent.chat.embeddings",
    "LatentSeekLLM": "latent_agent.chat.llm",
    "Lexicographic": "latent_agent.reward",
    "Reward": "latent_agent.reward",
    "ScaleReward": "latent_agent.reward",
    "SelfReward": "latent_agent.reward",
    "ToolCallReward": "latent_agent.reward",
    "TraceRetriever": "latent_agent.chat.retriever",
    "WeightedSum": "latent_agent.reward",
    "as_runnable": "latent_agent.chat.runnable",
}

__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: torch takes seconds."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
