"""ChatLatentSeek: the LangChain chat model. It adapts; `LatentAgent` does the work."""

import difflib
import os
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Literal
from uuid import UUID

from langchain_core.caches import BaseCache
from langchain_core.language_models import (
    BaseChatModel,
    LangSmithParams,
    LanguageModelInput,
    ModelProfile,
)
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool
from pydantic import Field, model_validator

from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Listener
from latent_agent.chat.call_arguments import (
    Arguments,
    agent_of,
    call_arguments,
    named_recipe,
    settings_of,
    with_recipe,
)
from latent_agent.chat.call_config import (
    many_at_once,
    model_parameters,
    prepared,
    with_namespace,
    with_run,
)
from latent_agent.chat.callbacks import AsyncRun, Stop, SyncRun, progress_of
from latent_agent.chat.from_langchain import read_turns, to_turns
from latent_agent.chat.memory_argument import discreet_arguments
from latent_agent.chat.model_arguments import ModelArguments
from latent_agent.chat.model_profile import profile_of
from latent_agent.chat.setting_arguments import SETTING_NAMES, SettingArguments, settings_section
from latent_agent.chat.structured_output import Method, parsed, structured
from latent_agent.chat.threads import in_call_thread, in_thread
from latent_agent.chat.to_langchain import answer_chunks, message_of
from latent_agent.model.admission import CallQueue
from latent_agent.model.engine_source import is_engine
from latent_agent.model.places import place_name
from latent_agent.model.prompt import encode_chat, encode_text
from latent_agent.model.registry import SharedModel
from latent_agent.reward import as_reward
from latent_agent.setting_rules import check_prior, stop_texts
from latent_agent.settings import Settings, settings_for
from latent_agent.tools.specs import forced_by, tools_from

if TYPE_CHECKING:
    from latent_memory import Rating

Messages = list[BaseMessage]


class ChatLatentSeek(ModelArguments, SettingArguments):
    """A chat model that drafts, judges its own draft, and searches its latents for a better one.

    Setup:
        ``pip install -c constraints.txt -e .`` in a checkout, or a wheel built from it. The bundled
        model needs nothing else; other models are loaded by Hugging Face id or from a local
        folder. Building the object reads no weights.

    Attributes: Key init args, completion
        recipe: ``"latentseek"`` or ``"latentevolve"``: the settings that are not given; by default
            our own, ``"default"``. ``"auto"``: settings and reward that ``latent-agent calibrate
            --save`` found for this model, else the default. Each setting is an argument, and a
            keyword of a call; the end of ``help(ChatLatentSeek)`` and docs/reference/settings.md
            list them.
        stop: Texts that end an answer; they are not part of it.
        n: Answers to one conversation, in `generate` and `agenerate`; above 1 needs a
            temperature. All but the first sample their draft too, and leave the memory alone. They
            are written together, or one after the other where ``timeout``,
            ``max_forwarded_tokens`` or ``max_waiting`` is given.
            ``timeout`` and ``max_forwarded_tokens`` hold for all together; answers for which
            nothing is left are left out, but never the first: ``missing_answers`` in the metadata
            says how many, and so does a warning in the log.
        reward: A built-in reward or any ``(question, answer) -> float`` in [-1, 0]; by default
            the model judges itself.

    Attributes: Key init args, client
        model: ``"bundled"``, a Hugging Face id, a local folder (a text or a path), or a
            loaded model.
        tokenizer: Needed beside a loaded model.
        engine: ``"transformers"`` or ``"llama.cpp"``; by default llama.cpp for GGUF files, where it
            is installed.
        dtype: Name of a torch dtype, or ``"auto"`` for the checkpoint's; by default what suits the
            machine: docs/how-to/models.md.
        device: Torch device; by default CUDA where there is one.
        threads: Threads of the CPU that compute; by default one for a small model, else all cores.
        n_ctx, n_gpu_layers: Of llama.cpp: docs/how-to/gguf.md.
        model_kwargs: Further arguments of ``from_pretrained``, such as ``quantization_config``.
        stream_draft, on_progress: See Stream.
        cache: LangChain's cache of answers; off: one from there is neither judged nor learned from.

    Attributes: Key init args, memory
        memory: Where past questions' latents are kept: ``"default"`` (a database in the user's
            data folder), None (nothing is kept), a path, a ``sqlite:///`` or
            ``postgresql+psycopg://`` URL, or a ``LatentMemory``.
        memory_mode: ``"read-write"``, ``"read"`` (nothing is stored) or ``"write"`` (nothing is
            recalled).
        store_conversations: Whether a trace keeps what came before the question too (system
            prompt, history); without it a night cannot ask such a question again, nor can a
            correction of its answer become latents.
        namespace: Whose questions these are; traces of one namespace never reach another. A call
            may name its own: ``config={"configurable": {"namespace": "ann"}}``.
        prior: ``"auto"`` (the latent prior that the last night published), None, or a version.
        embeddings: Any LangChain ``Embeddings`` to find similar questions with, in place of the
            model's own hidden states.

    Instantiate:
        ```python
        from latent_agent import ChatLatentSeek

        chat = ChatLatentSeek(model="bundled")
        ```

    Invoke:
        ```python
        message = chat.invoke("Today is Monday. The trip of Tom was 3 days ago. "
                              "What day was the trip?")
        message.text
        ```

    Stream:
        ```python
        for chunk in chat.stream("..."):
            print(chunk.text, end="")
        ```

        The search ends before the answer's first chunk. With ``stream_draft=True`` the draft comes
        before it while it is made, word by word, in chunks without content:
        ``chunk.additional_kwargs["draft"]``. Progress meanwhile (the events ``draft``, ``recall``,
        ``verdict`` and ``step``) goes to ``on_progress``, to callbacks and ``astream_events`` as
        custom events, and to tracers as child runs.

    Async:
        ```python
        await chat.ainvoke("...")
        ```

        The event loop is never blocked; a call that is cancelled stops within one forward pass.

    Tool calling:
        ```python
        model = chat.bind_tools([get_weather], tool_choice="any")
        model.invoke("How is the weather in Oslo?").tool_calls
        ```

        The tokenizer's own chat template describes the tools to the model; calls are read back in
        the formats of Hermes and Qwen, Llama 3 and Mistral, and an answer that is nothing but the
        JSON of calls that fit, in a code fence or not, is those calls. Forced calls are held to the
        tools' schemas by a grammar, in the optimised prefix too; where the template knows no tools,
        the system prompt tells of them. A turn that calls tools is not judged: it passes if its
        calls fit their schemas, and leaves no trace.

    Structured output:
        ```python
        chat.with_structured_output(Trip).invoke("...")
        ```

        By default the answer's text is the JSON, held to the schema by a grammar, and judged like
        any other. The system prompt ends with the schema's types and the descriptions of its
        fields; a conversation without one gets one. Strings and lists that go round in circles are
        closed.

    Reasoning:
        Of a model that thinks before it answers, ``message.text`` is the answer alone, and the
        thought is a reasoning block in ``message.content_blocks``. Judges, rewards, stop texts and
        traces see the answer. A thought that ``max_tokens`` cuts off leaves an empty answer, which
        is never accepted.

    Token usage:
        ``message.usage_metadata`` counts the prompt and the answer that the user sees; all that was
        spent is in ``response_metadata["latent_agent"]["forwarded_tokens"]``.

    Log-probabilities:
        ``chat.invoke("...", logprobs=True, top_logprobs=5)``: those of the answer's tokens, in
        OpenAI's form, in ``message.response_metadata["logprobs"]``. The model reads its answer once
        more for them. A call of tools has none.

    Response metadata:
        ``message.response_metadata["latent_agent"]`` is a plain dict: draft, recipe, rewards,
        iterations, source, stopped, checks, error, warm_start, trace_id, answer_id, memory_error,
        forwarded_tokens.
        ``stopped`` is threshold, iterations, patience, time, tokens, reward_error or unjudged;
        ``source`` is draft, prior, memory or search; ``draft`` is None if a warm start passed at
        once.
    """

    recipe: str | None = None
    n: int = 1
    stop: list[str] | str | None = None
    reward: Any = None
    memory: Any = "default"
    memory_mode: Literal["read-write", "read", "write"] = "read-write"
    store_conversations: bool = True
    namespace: str = "default"
    embeddings: Any = None
    prior: str | int | None = "auto"
    stream_draft: bool = False
    on_progress: Listener | None = Field(default=None, exclude=True)
    cache: BaseCache | bool | None = Field(default=False, exclude=True)
    """Off: an answer out of LangChain's cache is neither judged, nor searched, nor learned from."""
    max_retries: int | None = None
    """Accepted, as all chat models do; a local model has nothing to retry."""
    api_key: Any = None
    """Accepted, as all chat models do; a local model needs none."""
    streaming: bool = False
    """Accepted, as all chat models do; ``stream`` always streams."""

    invoke = prepared(BaseChatModel.invoke, with_run)
    ainvoke = prepared(BaseChatModel.ainvoke, with_run)
    stream = prepared(BaseChatModel.stream, with_run)
    astream = prepared(BaseChatModel.astream, with_run)
    # Version v3 of the events goes through none of these.
    stream_events = prepared(BaseChatModel.stream_events, with_namespace)
    astream_events = prepared(BaseChatModel.astream_events, with_namespace)
    batch = prepared(BaseChatModel.batch, many_at_once)
    abatch = prepared(BaseChatModel.abatch, many_at_once)
    batch_as_completed = prepared(BaseChatModel.batch_as_completed, many_at_once)

    @classmethod
    def from_model_id(cls, model_id: "str | os.PathLike[str]", **kwargs: Any) -> "ChatLatentSeek":
        """Build from a Hugging Face id or folder, as in langchain-huggingface."""
        return cls(model=model_id, **kwargs)

    if TYPE_CHECKING:  # type checkers do not see the settings among the fields

        def __init__(self, **arguments: Any) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _know_names(cls, values: Any) -> Any:
        """Take ``model_id`` for ``model``; warn of names that are not known."""
        if not isinstance(values, dict):
            return values
        given: dict[str, Any] = dict(discreet_arguments(values))
        if "model_id" in given:
            given.setdefault("model", given.pop("model_id"))
        for name in sorted(given.keys() - cls.model_fields.keys()):
            near = difflib.get_close_matches(name, cls.model_fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; it has no effect"
            warnings.warn(f"ChatLatentSeek has no argument {name!r}{hint}", stacklevel=2)
        # Before pydantic looks at the types: our errors say the remedy.
        settings = {name: given.get(name) for name in SETTING_NAMES}
        settings_for(named_recipe(given.get("recipe")), **settings)
        stop_texts(given.get("stop"))
        check_prior(given.get("prior", "auto"))
        return given

    @model_validator(mode="after")
    def _check(self) -> "ChatLatentSeek":
        """Refuse bad arguments at once; no weights are read for that."""
        if self.reward is not None:
            as_reward(self.reward)
        self._shared_model()
        return self

    @property
    def _llm_type(self) -> str:
        return "latent-seek"

    @property
    def model_name(self) -> str:
        """The model's name, as it stands in the response metadata."""
        return _name(self.model)

    def _resolve_model_profile(self) -> ModelProfile:
        return profile_of(self.model)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        names = (*SETTING_NAMES, "stop", "recipe", "namespace")
        settings = {name: getattr(self, name) for name in names}
        return {"model": self.model_name, "reward": repr(self.reward), **settings}

    def _get_ls_params(self, stop: Stop = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "latent-agent"
        params["ls_model_name"] = _name(kwargs.get("model") or self.model)
        return params

    def _get_invocation_params(self, stop: Stop = None, **kwargs: Any) -> dict[str, Any]:
        return super()._get_invocation_params(stop=stop, **model_parameters(kwargs))

    def _get_llm_string(self, stop: Stop = None, **kwargs: Any) -> str:
        return super()._get_llm_string(stop=stop, **model_parameters(kwargs))

    def get_token_ids(self, text: str) -> list[int]:
        """Return a text's tokens as a prompt holds them; special tokens in it are plain text."""
        if self.custom_get_token_ids is not None:
            return super().get_token_ids(text)
        return encode_text(self._shared_model().tokenizer, text)

    def get_num_tokens_from_messages(
        self, messages: Sequence[BaseMessage], tools: Sequence[Any] | None = None
    ) -> int:
        """Return how many tokens a call with these messages would read.

        Reads no weights. Counts by the model's own chat template, with the beginning of the answer
        that the template adds. Messages that make no call, such as a part of a conversation that
        ends with an answer, are counted in a form that the template accepts, or else as a plain
        transcript.

        Args:
            messages: Messages in any order; none have no tokens.
            tools: What may be called, as `bind_tools` takes it.

        Raises:
            PromptError: If a message is no text, or the template knows no tools.
        """
        if not messages:
            return 0
        tokenizer, plain = self._shared_model().tokenizer, tools_from(tools or ())
        given = self.chat_template_kwargs or {}
        return len(encode_chat(tokenizer, read_turns(messages), plain, given, part=True))

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Offer tools to the model, by its own chat template.

        One that knows no tools will do where a call is forced: the system prompt tells of them.

        Args:
            tools: Functions, ``BaseTool`` objects, Pydantic classes or schemas.
            tool_choice: ``"auto"`` (default): the model calls a tool or answers in text.
                ``"none"``: none is offered. ``"any"``, ``"required"`` or True: a grammar
                forces it to call one. A tool's name, or OpenAI's dict with it: that one.
            strict: Refuse schemas that the grammar cannot express in full.
            parallel_tool_calls: Whether one answer may make several calls. By default it may
                where nothing is forced, and makes one where a call is.
            kwargs: Other keywords of the call.

        Raises:
            SettingError: If a tool is none, or the choice names none.
        """
        plain = tools_from(tools, strict=strict)
        forced_by(tool_choice, plain)
        given = {"tool_choice": tool_choice, "parallel_tool_calls": parallel_tool_calls, **kwargs}
        given = {name: value for name, value in given.items() if value is not None}
        return self.bind(tools=[dict(tool.spec) for tool in plain], **given)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer in JSON that fits a schema; a grammar sees to it.

        The model is told the schema, in the system prompt or as a tool; messages stay as they are.
        A string or a list that repeats itself three times, over 60 bytes or more, is closed.

        Args:
            schema: A Pydantic class (answers are its objects), a TypedDict or a JSON schema.
            method: ``"json_schema"``: the answer's text is the JSON, and is judged like any other
                answer. ``"json_mode"``: the same, and without a schema any JSON object will do, of
                which the prompt says nothing. ``"function_calling"``: a forced call of one tool,
                scored by its validity alone.
            include_raw: Return ``{"raw", "parsed", "parsing_error"}``.
            strict: Refuse a schema that the grammar cannot express in full.
            kwargs: Other keywords of the call.

        Raises:
            SettingError: If method or schema are none of these.
        """
        return parsed(*structured(self, schema, method, strict, **kwargs), include_raw)

    def feedback(
        self,
        answer: AIMessage | UUID | int | str,
        score: float | None = None,
        *,
        comment: str | None = None,
        correction: str | None = None,
        source: str = "user",
        namespace: str | None = None,
    ) -> "Rating":
        """Say how good an answer was: docs/how-to/feedback.md.

        Args:
            answer: What a call returned; its ``answer_id`` or ``trace_id``; or, as a UUID or text,
                the id of the chat model's run, in LangSmith or ``message.id``.
            score: In [0, 1]; 1 is right. Left out beside a correction: 0.
            comment: What else there is to say.
            correction: The right answer. The model reads it at once if it is loaded, else at the
                next call or in the next night.
            source: ``"user"``, ``"test"`` or ``"judge"``; the first that spoke decides.
            namespace: Whose answer it is; by default the chat model's own.

        Raises:
            FeedbackError: If one of these is not what it must be, or no such answer is kept.
            SettingError: If the chat model keeps no memory.
        """
        from latent_agent.chat.feedback import give_feedback, given_feedback

        given = given_feedback(score, comment, correction, source)
        return give_feedback(self, answer, namespace, given)

    async def afeedback(
        self, answer: AIMessage | UUID | int | str, score: float | None = None, **given: Any
    ) -> "Rating":
        """Say how good an answer was, off the event loop; see `feedback`."""
        return await in_thread(partial(self.feedback, answer, score, **given))

    def _generate(
        self, messages: Messages, stop: Stop = None, run_manager: SyncRun = None, **kwargs: Any
    ) -> ChatResult:
        arguments = self._chosen(self._arguments(kwargs, stop))
        outcomes = self._answers(messages, arguments, run_manager)
        missing = arguments["n"] - len(outcomes)
        answers = [_message(outcome, arguments, missing) for outcome in outcomes]
        return ChatResult(generations=[ChatGeneration(message=answer) for answer in answers])

    async def _agenerate(
        self, messages: Messages, stop: Stop = None, run_manager: AsyncRun = None, **kwargs: Any
    ) -> ChatResult:
        with self._awaited(kwargs, stop, run_manager) as (threads, given):
            return await in_call_thread(*threads, partial(self._generate, messages, **given))

    def _stream(
        self, messages: Messages, stop: Stop = None, run_manager: SyncRun = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        arguments = self._chosen(self._arguments({**kwargs, "n": 1}, stop))
        for message in self._chunks(messages, arguments, run_manager):
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk

    async def _astream(
        self, messages: Messages, stop: Stop = None, run_manager: AsyncRun = None, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        with self._awaited(kwargs, stop, run_manager) as (threads, given):
            following = partial(next, self._stream(messages, **given), None)
            while (chunk := await in_call_thread(*threads, following)) is not None:
                yield chunk

    @contextmanager
    def _awaited(
        self, given: Arguments, stop: Stop, run_manager: AsyncRun
    ) -> Generator[tuple[tuple[CallQueue, Settings], dict[str, Any]]]:
        """Prepare a call in another thread; yields its queue, settings and keywords."""
        from latent_agent.chat.serving import awaited

        arguments = self._arguments(given, stop)
        sync = run_manager.get_sync() if run_manager else None
        settings, model = settings_of(arguments), self._model_of(arguments)
        with awaited(model, settings) as call:
            given = {**given, **call, "stop": stop, "run_manager": sync}
            yield (model.queue, settings), given

    def _chunks(
        self, messages: Messages, arguments: dict[str, Any], run_manager: SyncRun
    ) -> Iterator[AIMessageChunk]:
        """Yield the draft while it is made, if that is wanted, then the answer."""
        answers = partial(self._answers, messages, arguments, run_manager)
        if arguments["stream_draft"]:
            from latent_agent.chat.draft_text import drafting

            cancelled = arguments.setdefault("cancelled", threading.Event())
            tokenizer = self._model_of(arguments).tokenizer
            (outcome,) = yield from drafting(answers, tokenizer, cancelled)
        else:
            (outcome,) = answers()
        yield from answer_chunks(_message(outcome, arguments))

    def _answers(
        self,
        messages: Sequence[BaseMessage],
        arguments: Arguments,
        run_manager: SyncRun,
        on_draft: Callable[[int], None] | None = None,
    ) -> list[Outcome]:
        """Answer a conversation as often as ``n`` says."""
        from latent_agent.chat.feedback import read_corrections
        from latent_agent.chat.serving import checked_choices, serve_choices

        settings, turns = settings_of(arguments), to_turns(messages)
        count = checked_choices(arguments["n"], settings)
        agent = agent_of(arguments, settings, self._model_of(arguments))
        read_corrections(agent)
        return serve_choices(agent, turns, progress_of(arguments, run_manager, on_draft), count)

    def _arguments(self, given: Arguments, stop: Stop) -> dict[str, Any]:
        return call_arguments(dict(self), given, stop)

    def _chosen(self, arguments: Arguments) -> dict[str, Any]:
        """Return a call's arguments with what was calibrated for its model, if that is wanted."""
        if place := arguments.get("place"):  # there is a thread; hashing weights is no waiting
            place.begin()
        return with_recipe(arguments, self._model_of(arguments))

    def _model_of(self, arguments: Arguments) -> SharedModel:
        """Return the model of a call with these arguments."""
        model, tokenizer = arguments["model"], arguments["tokenizer"]
        return self.held_models.open(model, tokenizer, self.load_options)


def _message(outcome: Outcome, arguments: Arguments, missing: int = 0) -> AIMessage:
    return message_of(outcome, _name(arguments["model"]), arguments["used"], missing)


def _name(model: Any) -> str:
    model = place_name(model)
    if isinstance(model, str):
        return model
    return model.name if is_engine(model) else model.config.name_or_path or type(model).__name__


ChatLatentSeek.__doc__ = f"{ChatLatentSeek.__doc__}\n    {settings_section()}\n"
