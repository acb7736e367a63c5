"""What a call's config tells a chat model: whose call it is, and which run.

LangChain hands no config to ``_generate`` and no run to ``_stream``. The namespace in
``config={"configurable": {"namespace": ...}}`` is passed on as a keyword, which also makes it part
of the cache key; so is the run, which is not.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config

from latent_agent.chat.callbacks import with_run
from latent_agent.chat.threads import at_once

_OWN = ("run", "on_progress", "cancelled", "place")


def with_namespace(config: RunnableConfig | None, given: dict[str, Any]) -> dict[str, Any]:
    """Add the config's namespace to a call's keywords; one given by keyword wins."""
    configurable: dict[str, Any] = ensure_config(config).get("configurable") or {}
    if "namespace" in configurable:
        return {"namespace": configurable["namespace"], **given}
    return given


def _told(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name not in _OWN}


class ConfiguredChatModel(BaseChatModel):
    """A chat model whose calls know the namespace in their config, and the run that they are."""

    max_calls: int | None = None

    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Leave out what is no parameter of the model."""
        return super()._get_invocation_params(stop=stop, **_told(kwargs))

    def _get_llm_string(self, stop: list[str] | None = None, **kwargs: Any) -> str:
        """Leave it out of the cache key too."""
        return super()._get_llm_string(stop=stop, **_told(kwargs))

    def invoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a conversation."""
        given = with_namespace(config, kwargs)
        config, given["run"] = with_run(config, self.callbacks)
        return super().invoke(input, config, stop=stop, **given)

    async def ainvoke(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AIMessage:
        """Answer a conversation."""
        given = with_namespace(config, kwargs)
        config, given["run"] = with_run(config, self.callbacks)
        return await super().ainvoke(input, config, stop=stop, **given)

    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        """Answer a conversation in chunks."""
        given = with_namespace(config, kwargs)
        config, given["run"] = with_run(config, self.callbacks)
        yield from super().stream(input, config, stop=stop, **given)

    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        """Answer a conversation in chunks."""
        given = with_namespace(config, kwargs)
        config, given["run"] = with_run(config, self.callbacks)
        async for chunk in super().astream(input, config, stop=stop, **given):
            yield chunk

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer many conversations together; ``max_concurrency`` in the config says how many."""
        configs = at_once(config, len(inputs), self.max_calls) if inputs else None
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    async def abatch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer many conversations together, as `batch` does."""
        configs = at_once(config, len(inputs), self.max_calls) if inputs else None
        return await super().abatch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def batch_as_completed(  # type: ignore[override] - narrower than both of its overloads
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        *,
        return_exceptions: Any = False,
        **kwargs: Any,
    ) -> Iterator[tuple[int, Any]]:
        """Answer many conversations together, each as soon as it is ready."""
        configs = at_once(config, len(inputs), self.max_calls) if inputs else None
        return super().batch_as_completed(
            inputs, configs, return_exceptions=return_exceptions, **kwargs
        )

    def stream_events(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Stream events; version ``v3`` does not go through `stream`."""
        return super().stream_events(input, config, **with_namespace(config, kwargs))

    def astream_events(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Stream events; version ``v3`` does not go through `astream`."""
        return super().astream_events(input, config, **with_namespace(config, kwargs))
