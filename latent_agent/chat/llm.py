"""LatentSeekLLM: text in, text out, over a `ChatLatentSeek`."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.caches import BaseCache
from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import BaseLLM, LangSmithParams, LanguageModelInput
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation, GenerationChunk, LLMResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import Field

from latent_agent.chat.call_config import many_at_once, prepared, with_namespace
from latent_agent.chat.callbacks import AsyncRun, Stop, SyncRun
from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.errors import SettingError


class LatentSeekLLM(BaseLLM):
    """The chat model for chains that pass plain text: each prompt is one human message.

    ```python
    from latent_agent import LatentSeekLLM

    llm = LatentSeekLLM(model="bundled", memory="answers.sqlite3")
    llm.invoke("Today is Monday. The test of Tom is in 3 days. What day is the test?")
    ```

    It takes the arguments of `ChatLatentSeek`, or one that is there already:
    ``LatentSeekLLM(chat=chat)``. Keywords of a call reach it too, and so does the namespace in
    ``config={"configurable": {"namespace": "ann"}}``. How an answer was made stands in
    ``generation_info["latent_agent"]`` of what `generate` returns. In a trace, the chat model's
    run is a child of this one's.
    """

    chat: ChatLatentSeek
    cache: BaseCache | bool | None = Field(default=False, exclude=True)
    """Always off here: the chat model looks after a cache, whose keys hold a call's namespace."""

    def __init__(self, *, chat: ChatLatentSeek | None = None, **given: Any) -> None:
        known = type(self).model_fields.keys() - {"cache"}
        own: dict[str, Any] = {name: given.pop(name) for name in known & given.keys()}
        if chat is not None and given.get("cache") is False:
            del given["cache"]  # LangChain copies models field by field
        if chat is not None and given:
            raise SettingError(
                f"a LatentSeekLLM takes a chat model or its arguments, got chat=... and "
                f"{sorted(given)[0]!r}; give the argument to the chat model"
            )
        own["chat"] = chat or ChatLatentSeek(**given)
        super().__init__(**own)

    def close(self) -> None:
        """Release the model, as `ChatLatentSeek.close` does."""
        self.chat.close()

    @property
    def _llm_type(self) -> str:
        return "latent-seek-llm"

    @property
    def model_name(self) -> str:
        """The model's name."""
        return self.chat.model_name

    @property
    def _identifying_params(self) -> Mapping[str, Any]:
        return self.chat.dict()

    def _get_ls_params(self, stop: Stop = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "latent-agent"
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return a text's tokens, as the chat model does."""
        if self.custom_get_token_ids is not None:
            return super().get_token_ids(text)
        return self.chat.get_token_ids(text)

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Return how many tokens the chat model would read."""
        return self.chat.get_num_tokens_from_messages(messages, tools)

    invoke = prepared(BaseLLM.invoke, with_namespace)
    ainvoke = prepared(BaseLLM.ainvoke, with_namespace)
    stream = prepared(BaseLLM.stream, with_namespace)
    astream = prepared(BaseLLM.astream, with_namespace)
    # Each config may name a namespace of its own, so a batch is a call for each input.
    batch = prepared(Runnable[LanguageModelInput, str].batch, many_at_once)
    abatch = prepared(Runnable[LanguageModelInput, str].abatch, many_at_once)

    @property
    def max_calls(self) -> int | None:
        """The chat model's."""
        return self.chat.max_calls

    def _generate(
        self, prompts: list[str], stop: Stop = None, run_manager: SyncRun = None, **kwargs: Any
    ) -> LLMResult:
        asked, under = _asked(prompts), _under(run_manager)
        return _as_text(self.chat.generate(asked, stop, callbacks=under, **kwargs))

    async def _agenerate(
        self, prompts: list[str], stop: Stop = None, run_manager: AsyncRun = None, **kwargs: Any
    ) -> LLMResult:
        asked, under = _asked(prompts), _under(run_manager)
        return _as_text(await self.chat.agenerate(asked, stop, callbacks=under, **kwargs))

    def _stream(
        self, prompt: str, stop: Stop = None, run_manager: SyncRun = None, **kwargs: Any
    ) -> Iterator[GenerationChunk]:
        config = RunnableConfig(callbacks=_under(run_manager))
        for message in self.chat.stream(prompt, config, stop=stop, **kwargs):
            chunk = _chunk(message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self, prompt: str, stop: Stop = None, run_manager: AsyncRun = None, **kwargs: Any
    ) -> AsyncIterator[GenerationChunk]:
        config = RunnableConfig(callbacks=_under(run_manager))
        async for message in self.chat.astream(prompt, config, stop=stop, **kwargs):
            chunk = _chunk(message)
            if run_manager:
                await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


def _under(run: SyncRun | AsyncRun) -> CallbackManager | None:
    """Return what makes the chat model's run a child of this one, which LangChain thinks a leaf."""
    if run is None:
        return None
    child = CallbackManager([], parent_run_id=run.run_id)
    child.set_handlers(run.inheritable_handlers)
    return child


def _asked(prompts: Sequence[str]) -> list[list[BaseMessage]]:
    return [[HumanMessage(prompt)] for prompt in prompts]


def _as_text(result: LLMResult) -> LLMResult:
    """Return a chat model's result as one of plain texts."""
    rows = [[_text(one) for one in row] for row in result.generations]
    return LLMResult(generations=rows, llm_output=result.llm_output)


def _text(answer: Generation) -> Generation:
    assert isinstance(answer, ChatGeneration)
    return Generation(text=answer.text, generation_info=answer.message.response_metadata)


def _chunk(message: AIMessageChunk) -> GenerationChunk:
    return GenerationChunk(text=message.text, generation_info=message.response_metadata or None)
