"""A namespace from a call's config: ``config={"configurable": {"namespace": ...}}``.

LangChain hands no config to ``_generate``, so the namespace is passed on as a keyword, which also
makes it part of the cache key.
"""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import ensure_config


def with_namespace(config: RunnableConfig | None, given: dict[str, Any]) -> dict[str, Any]:
    """Add the config's namespace to a call's keywords; one given by keyword wins."""
    configurable: dict[str, Any] = ensure_config(config).get("configurable") or {}
    if "namespace" in configurable:
        return {"namespace": configurable["namespace"], **given}
    return given


class NamespacedChatModel(BaseChatModel):
    """A chat model whose calls may name a namespace in their config."""

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
        async for chunk in super().astream(input, config, stop=stop, **given):
            yield chunk
