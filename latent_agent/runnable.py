"""A `LatentAgent` as a step of a LangChain chain, which hands on whole outcomes."""

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda

from latent_agent.agent import LatentAgent
from latent_agent.messages import to_turns
from latent_agent.outcome import Outcome
from latent_agent.prompt import Turn


def as_runnable(agent: LatentAgent) -> Runnable[LanguageModelInput, Outcome]:
    """Return a Runnable from a text, messages or a prompt value to the agent's `Outcome`.

    A call's ``config={"configurable": {"namespace": ...}}`` reaches the agent's memory.
    """

    def answer(given: LanguageModelInput, config: RunnableConfig) -> Outcome:
        configurable: dict[str, Any] = config.get("configurable") or {}
        asked = agent
        if "namespace" in configurable:
            asked = _within(agent, configurable["namespace"])
        return asked.answer(_turns(given))

    return RunnableLambda(answer, name="LatentAgent")


def _within(agent: LatentAgent, namespace: str) -> LatentAgent:
    memory = agent.recollection
    kept = None if memory is None else memory.within(namespace)
    return LatentAgent(agent.model, agent.settings, agent.reward, kept)


def _turns(given: LanguageModelInput) -> list[Turn]:
    if isinstance(given, str):
        return to_turns([HumanMessage(given)])
    if isinstance(given, PromptValue):
        return to_turns(given.to_messages())
    return to_turns(convert_to_messages(given))
