"""ChatLatentSeek: the LangChain face. It adapts; `LatentAgent` does the work."""

import difflib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal, Self

from langchain_core.caches import BaseCache
from langchain_core.language_models import LangSmithParams, ModelProfile
from langchain_core.messages import BaseMessage
from pydantic import Field, model_validator

from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Listener, Progress
from latent_agent.chat.from_langchain import read_turns, to_turns
from latent_agent.chat.generation import checked_choices
from latent_agent.chat.model_profile import profile_of
from latent_agent.chat.tool_calling import ToolCallingChatModel
from latent_agent.errors import SettingError
from latent_agent.model.held_models import HeldModels
from latent_agent.model.loading import Place, place_name
from latent_agent.model.prompt import encode_chat, encode_text
from latent_agent.model.registry import SharedModel, shared_by_copies
from latent_agent.reward import Reward, as_reward
from latent_agent.setting_rules import check_prior, stop_texts
from latent_agent.settings import Settings, settings_for
from latent_agent.tools.specs import tools_from

if TYPE_CHECKING:
    from latent_agent.recall.memory_adapter import TraceMemory

_SETTINGS = tuple(
    field.name for field in fields(Settings) if field.name not in ("stop", "reward_offset", "judge")
)


class ChatLatentSeek(ToolCallingChatModel):
    """A chat model that drafts, judges its own draft, and searches its latents for a better one.

    Setup:
        ``pip install -c constraints.txt -e .`` in a checkout, or a wheel built from it. The bundled
        model needs nothing else; other models are loaded by Hugging Face id or from a local
        folder. Building the object reads no weights.

    Attributes: Key init args, completion
        temperature: 0 (default) is greedy; see ``samples``.
        max_tokens: Longest answer, the optimised prefix and a thought before it included.
        stop: Texts that end an answer; they are not part of it.
        sample_draft: Sample the draft too, not only the search's answers.
        top_p: Only the likeliest tokens that together reach this probability are sampled.
        n: Answers to one conversation, in `generate` and `agenerate`; above 1 needs a
            temperature. All but the first sample their draft too, and leave the memory alone.
            ``timeout`` and ``max_forwarded_tokens`` hold for all together; answers for which
            nothing is left are left out, but never the first.
        timeout: Seconds after which the best answer so far is returned.
        seed: Seed of all sampling.

    Attributes: Key init args, client
        model: ``"bundled"``, a Hugging Face id, a local folder (a text or a path), or a
            loaded model.
        tokenizer: Needed beside a loaded model.
        dtype: Name of a torch dtype; by default float32 on the CPU, the checkpoint's elsewhere.
        device: Torch device; by default CUDA where there is one.
        stream_draft, on_progress: See Stream.
        cache: LangChain's cache of answers; off: one from there is neither judged nor learned from.

    Attributes: Key init args, search
        recipe: ``"default"``, ``"latentseek"`` or ``"latentevolve"``; explicit arguments
            override it.
        max_iterations: Gradient steps at most (K); 0 is plain generation, unjudged.
        samples: Answers sampled in each step (M); above 1 needs a temperature.
        learning_rate: Adam's learning rate on the latents.
        fraction: Share of the draft's latents to optimise (rho), in (0, 1].
        prefix_tokens: A fixed number of latents instead (N).
        threshold: Rewards above it are accepted (tau), in [-1, 0).
        patience: Rounds without a better mean reward before the search ends.
        max_forwarded_tokens: Budget of one call in forwarded tokens.
        search, positions, position_share, baseline, step, rest, ties, verdict: How the search
            goes where it need not be LatentSeek's own; see ``latent_agent.settings.Settings``.
        max_waiting: Calls that may wait for the model while ``max_calls`` (32) are answered; one
            more raises ``BusyError`` at once. By default all share the model's passes.
        log_text: Whether logs tell questions and answers too.
        chat_template_kwargs: Arguments of the model's chat template, such as
            ``{"enable_thinking": False}``; a call's replace the constructor's.
        reward: A built-in reward or any ``(question, answer) -> float`` in [-1, 0]; by default
            the model judges itself.

    Attributes: Key init args, memory
        memory: Where past questions' latents are kept: ``"default"`` (a database in the user's
            data folder), None (nothing is kept), a path, a ``sqlite:///`` URL, or a
            ``LatentMemory``.
        memory_mode: ``"read-write"``, ``"read"`` (nothing is stored) or ``"write"`` (nothing is
            recalled).
        namespace: Whose questions these are; traces of one namespace never reach another. A call
            may name its own: ``config={"configurable": {"namespace": "ann"}}``.
        prior: ``"auto"`` (the latent prior that the last night published), None, or a version.
        embeddings: Any LangChain ``Embeddings`` to find similar questions with, in place of the
            model's own hidden states.
        neighbours: Similar past questions recalled (k); 0 recalls none.
        momentum: Factor on the neighbours' journeys.
        momentum_temperature: Of the softmax over the neighbours' similarities.
        archive: Least reward at which a call leaves a trace.

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
        ``chunk.additional_kwargs["draft"]``. What goes on meanwhile (the events ``draft``,
        ``recall``, ``verdict`` and ``step``) is told to ``on_progress``, to callbacks and in
        ``astream_events`` as custom events, and to tracers as child runs.

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

        The tokenizer's own chat template tells the model of the tools; calls are read back in the
        formats of Hermes and Qwen, Llama 3 and Mistral. Forced calls are held to the tools'
        schemas by a grammar, in the optimised prefix too. A turn that calls tools is not judged:
        it passes if its calls fit their schemas, and leaves no trace.

    Structured output:
        ```python
        chat.with_structured_output(Trip).invoke("...")
        ```

        By default the answer's text is the JSON, held to the schema by a grammar, and judged like
        any other. The prompt stays as it is: say there what the fields mean.

    Reasoning:
        Of a model that thinks before it answers, ``message.text`` is the answer alone, and the
        thought is a reasoning block in ``message.content_blocks``. Judges, rewards, stop texts and
        traces see the answer. A thought that ``max_tokens`` cuts off leaves an empty answer, which
        is never accepted.

    Token usage:
        ``message.usage_metadata`` counts the prompt and the answer that the user sees; the whole
        bill is in ``response_metadata["latent_agent"]["forwarded_tokens"]``.

    Response metadata:
        ``message.response_metadata["latent_agent"]`` is a plain dict: draft, rewards, iterations,
        source, stopped, checks, error, warm_start, trace_id, memory_error, forwarded_tokens.
        ``stopped`` is threshold, iterations, patience, time, tokens, reward_error or unjudged;
        ``source`` is draft, prior, memory or search; ``draft`` is None if a warm start passed at
        once.
    """

    model: Place
    tokenizer: Place = None
    dtype: str | None = None
    device: str | None = None
    recipe: str = "default"
    temperature: float | None = None
    top_p: float | None = None
    sample_draft: bool | None = None
    n: int = 1
    max_tokens: int | None = None
    stop: list[str] | str | None = None
    timeout: float | None = None
    seed: int | None = None
    max_iterations: int | None = None
    samples: int | None = None
    learning_rate: float | None = None
    fraction: float | None = None
    prefix_tokens: int | None = None
    threshold: float | None = None
    patience: int | None = None
    max_forwarded_tokens: int | None = None
    search: str | None = None
    positions: str | None = None
    position_share: float | None = None
    baseline: str | None = None
    step: str | None = None
    rest: str | None = None
    ties: str | None = None
    verdict: str | None = None
    max_calls: int | None = None
    max_waiting: int | None = None
    log_text: bool | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    neighbours: int | None = None
    momentum: float | None = None
    momentum_temperature: float | None = None
    archive: float | None = None
    reward: Any = None
    memory: Any = "default"
    memory_mode: Literal["read-write", "read", "write"] = "read-write"
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

    held_models: HeldModels = Field(default_factory=HeldModels, exclude=True, repr=False)
    """Not to be given: a field, since LangChain's configured copies take over no more than those.
    So a model that a call's config names stays loaded for the next call."""

    @classmethod
    def from_model_id(cls, model_id: str, **kwargs: Any) -> "ChatLatentSeek":
        """Build from a Hugging Face id or folder, as in langchain-huggingface."""
        return cls(model=model_id, **kwargs)

    @model_validator(mode="before")
    @classmethod
    def _know_names(cls, values: Any) -> Any:
        """Take ``model_id`` for ``model``; warn of names that are not known."""
        if not isinstance(values, dict):
            return values
        given: dict[str, Any] = dict(values)
        if "model_id" in given:
            given.setdefault("model", given.pop("model_id"))
        for name in sorted(given.keys() - cls.model_fields.keys()):
            near = difflib.get_close_matches(name, cls.model_fields, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "; it has no effect"
            warnings.warn(f"ChatLatentSeek has no argument {name!r}{hint}", stacklevel=2)
        # Before pydantic looks at the types: our errors say the remedy.
        settings_for(
            given.get("recipe", "default"), **{name: given.get(name) for name in _SETTINGS}
        )
        stop_texts(given.get("stop"))
        check_prior(given.get("prior", "auto"))
        return given

    @model_validator(mode="after")
    def _check(self) -> "ChatLatentSeek":
        """Refuse bad arguments at once; no weights are read for that."""
        if self.reward is not None:
            as_reward(self.reward)
        self._shared_model({})
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Copy all but a loaded model and its tokenizer, which the copy shares."""
        return super().__deepcopy__(shared_by_copies(memo, self.model, self.tokenizer))

    @property
    def _llm_type(self) -> str:
        return "latent-seek"

    @property
    def model_name(self) -> str:
        """The model's name, as it stands in the response metadata."""
        return self._name(self.model)

    def _name(self, model: Any) -> str:
        model = place_name(model)
        if isinstance(model, str):
            return model
        return model.config.name_or_path or type(model).__name__

    def _resolve_model_profile(self) -> ModelProfile:
        return profile_of(self.model)

    @property
    def _identifying_params(self) -> dict[str, Any]:
        settings = {
            name: getattr(self, name) for name in (*_SETTINGS, "stop", "recipe", "namespace")
        }
        return {"model": self.model_name, "reward": repr(self.reward), **settings}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "latent-agent"
        params["ls_model_name"] = self._name(kwargs.get("model") or self.model)
        return params

    def get_token_ids(self, text: str) -> list[int]:
        """Return a text's tokens as a prompt holds them; special tokens in it are plain text."""
        if self.custom_get_token_ids is not None:
            return super().get_token_ids(text)
        return encode_text(self._shared_model({}).tokenizer, text)

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
        tokenizer, plain = self._shared_model({}).tokenizer, tools_from(tools or ())
        given = self.chat_template_kwargs or {}
        return len(encode_chat(tokenizer, read_turns(messages), plain, given, part=True))

    def _shared_model(self, given: Mapping[str, Any]) -> SharedModel:
        """Return the model, or the one that a call names in its place."""
        if given.get("model") is None:
            return self.held_models.open(self.model, self.tokenizer, self.dtype, self.device)
        return self.held_models.open(
            given["model"], given.get("tokenizer"), self.dtype, self.device
        )

    def close(self) -> None:
        """Let go of the model: its weights are freed unless another user holds them.

        So they are when the last chat model that uses them is dropped. Calls that are under way
        end as usual, and the next one loads the model again. A model object that was handed over
        stays with whoever loaded it; a memory stays open.
        """
        self.held_models = HeldModels()

    def _settings(self, given: dict[str, Any], stop: list[str] | None = None) -> Settings:
        """Merge the constructor's settings with one call's; the latter win."""
        chosen = {name: getattr(self, name) for name in _SETTINGS}
        chosen |= {name: given[name] for name in _SETTINGS if given.get(name) is not None}
        chosen["stop"] = stop_texts(self.stop if stop is None else stop)
        return settings_for(given.get("recipe", self.recipe), **chosen)

    def _answers(
        self,
        messages: Sequence[BaseMessage],
        stop: list[str] | None,
        given: dict[str, Any],
        progress: Progress,
    ) -> list[Outcome]:
        from latent_agent.call.agent import LatentAgent, reward_for
        from latent_agent.chat.choices import choices

        settings, turns = self._settings(given, stop), to_turns(messages)
        count = checked_choices(given.get("n", self.n), settings)
        reward = reward_for(settings, given.get("reward", self.reward))
        form, model = self._form(given), self._shared_model(given)
        traces = self._memory(given, form.reward(reward))
        agent = LatentAgent(model, settings, reward, traces, form)
        return choices(agent, turns, progress, count)

    def _memory(self, given: dict[str, Any], reward: Reward) -> "TraceMemory | None":
        from latent_agent.recall.memory_adapter import TraceMemory
        from latent_agent.recall.open_memory import open_memory

        mode = given.get("memory_mode", self.memory_mode)
        memory = open_memory(given.get("memory", self.memory), mode)
        if memory is None:
            return None
        namespace = given.get("namespace", self.namespace)
        if not isinstance(namespace, str):
            raise SettingError(
                f"namespace must be a text, got {namespace!r}; for example "
                "config={'configurable': {'namespace': 'ann'}}"
            )
        prior = given.get("prior", self.prior)
        return TraceMemory(memory, namespace, reward.id, mode, self.embeddings, prior)
