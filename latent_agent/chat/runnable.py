"""A `LatentAgent` as a step of a LangChain chain, which returns whole outcomes."""

from typing import Any

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import HumanMessage, convert_to_messages
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig, RunnableLambda
from langchain_core.runnables.config import run_in_executor

from latent_agent.call.agent import LatentAgent
from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Progress
from latent_agent.chat.call_arguments import checked_namespace
from latent_agent.chat.from_langchain import to_turns
from latent_agent.chat.serving import awaited, serve
from latent_agent.model.conversation import Turn


def as_runnable(agent: LatentAgent) -> Runnable[LanguageModelInput, Outcome]:
    """Return a Runnable from a text, messages or a prompt value to the agent's `Outcome`.

    A call's ``config={"configurable": {"namespace": ...}}`` reaches the agent's memory. An awaited
    call that is cancelled stops within one forward pass.
    """

    def answer(given: LanguageModelInput, config: RunnableConfig) -> Outcome:
        return serve(_within(agent, config), _turns(given))

    async def answer_later(given: LanguageModelInput, config: RunnableConfig) -> Outcome:
        asked, turns = _within(agent, config), _turns(given)
        with awaited(agent.model, agent.settings) as call:
            return await run_in_executor(config, serve, asked, turns, Progress(**call))

    return RunnableLambda(answer, answer_later, name="LatentAgent")


def _within(agent: LatentAgent, config: RunnableConfig) -> LatentAgent:
    """Return the agent as the namespace in a call's config sees it, if there is one."""
    configurable: dict[str, Any] = config.get("configurable") or {}
    if "namespace" not in configurable or agent.memory.namespace is None:
        return agent
    namespace = checked_namespace(configurable["namespace"])
    return agent.having(memory=agent.memory.within(namespace))


def _turns(given: LanguageModelInput) -> list[Turn]:
    if isinstance(given, str):
        return to_turns([HumanMessage(given)])
    if isinstance(given, PromptValue):
        return to_turns(given.to_messages())
    return to_turns(convert_to_messages(given))
