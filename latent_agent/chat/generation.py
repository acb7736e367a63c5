"""A chat model's answers in LangChain's four ways: at once or in chunks, waited for or awaited."""

import threading
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Listener, Progress
from latent_agent.chat.callbacks import ModelRun
from latent_agent.chat.configured import ConfiguredChatModel
from latent_agent.chat.streaming import cancelling, in_background
from latent_agent.chat.threads import in_thread
from latent_agent.chat.to_langchain import answer_chunks, draft_chunk, message_of
from latent_agent.errors import SettingError
from latent_agent.model.registry import SharedModel
from latent_agent.settings import Settings


class GeneratingChatModel(ConfiguredChatModel):
    """Turns outcomes into messages and chunks; what makes the outcomes is left open.

    A call's keywords may hold ``run``, ``on_progress``, ``cancelled`` and ``place`` beside its
    settings.
    """

    n: int = 1
    stream_draft: bool = False
    on_progress: Listener | None = None

    model: Any

    @abstractmethod
    def _name(self, model: Any) -> str:
        """Return the name of a model, as it stands in the response metadata."""

    @abstractmethod
    def _shared_model(self, given: Mapping[str, Any]) -> SharedModel:
        """Return the model of a call with these keywords."""

    @abstractmethod
    def _settings(self, given: dict[str, Any], stop: list[str] | None = None) -> Settings:
        """Return the settings of a call with these keywords."""

    @abstractmethod
    def _answers(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        given: dict[str, Any],
        progress: Progress,
    ) -> list[Outcome]:
        """Answer a conversation as often as ``n`` says."""

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        progress = self._progress(run_manager, kwargs)
        outcomes = self._answers(messages, stop, kwargs, progress)
        return ChatResult(
            generations=[
                ChatGeneration(message=self._message(outcome, kwargs)) for outcome in outcomes
            ]
        )

    def _message(self, outcome: Outcome, given: Mapping[str, Any]) -> AIMessage:
        return message_of(outcome, self._name(given.get("model") or self.model))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with self._place(stop, kwargs) as place, cancelling() as cancelled:
            given = {**kwargs, "cancelled": cancelled, "place": place}
            sync = run_manager.get_sync() if run_manager else None
            return await in_thread(self._generate, messages, stop, sync, **given)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for message in self._chunks(messages, stop, run_manager, {**kwargs, "n": 1}):
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        with self._place(stop, kwargs) as place, cancelling() as cancelled:
            given = {**kwargs, "cancelled": cancelled, "place": place}
            sync = run_manager.get_sync() if run_manager else None
            chunks = self._stream(messages, stop, sync, **given)
            while (chunk := await in_thread(next, chunks, None)) is not None:
                yield chunk

    def _chunks(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        given: dict[str, Any],
    ) -> Iterator[AIMessageChunk]:
        """Yield the draft while it is made, if that is wanted, then the answer."""
        if given.get("stream_draft", self.stream_draft):
            (outcome,) = yield from self._drafting(messages, stop, run_manager, given)
        else:
            progress = self._progress(run_manager, given)
            (outcome,) = self._answers(messages, stop, given, progress)
        yield from answer_chunks(self._message(outcome, given))

    def _drafting(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        given: dict[str, Any],
    ) -> Generator[AIMessageChunk, None, list[Outcome]]:
        from latent_agent.chat.draft_text import DraftText

        cancelled = given.setdefault("cancelled", threading.Event())

        def work(emit: Callable[[AIMessageChunk], None]) -> list[Outcome]:
            tokenizer = self._shared_model(given).tokenizer
            words = DraftText(tokenizer, lambda text: emit(draft_chunk(text)))
            progress = self._progress(run_manager, given, words.token)
            outcomes = self._answers(messages, stop, given, progress)
            words.end()
            return outcomes

        return (yield from in_background(work, cancelled))

    def _progress(
        self,
        run_manager: CallbackManagerForLLMRun | None,
        given: dict[str, Any],
        on_draft: Callable[[int], None] | None = None,
    ) -> Progress:
        run: ModelRun | None = given.get("run")
        if run is None and run_manager is not None:
            run = ModelRun(run_manager.handlers, run_manager.run_id)
        listeners = [run, given.get("on_progress", self.on_progress)]
        heard = [listener for listener in listeners if listener is not None]
        return Progress(
            *heard,
            on_draft=on_draft,
            cancelled=given.get("cancelled"),
            place=given.get("place"),
        )

    @contextmanager
    def _place(self, stop: list[str] | None, given: dict[str, Any]) -> Generator[object]:
        """Take a place in the model's queue, before a thread is free to answer in."""
        queue = self._shared_model(given).queue
        with queue.place(self._settings(given, stop)) as place:
            yield place


def checked_choices(n: Any, settings: Settings) -> int:
    """Return how many answers are asked for.

    Raises:
        SettingError: If that is no number of answers, or greedy decoding would repeat one.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise SettingError(f"n must be a whole number, got {n!r}; give 1 or more")
    if n > 1 and settings.temperature == 0:
        raise SettingError(
            f"n={n!r} needs a temperature above 0, got temperature={settings.temperature!r}: "
            "greedy answers are all the same; set temperature=0.7, or n=1"
        )
    return n
