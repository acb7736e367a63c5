"""ChatLatentSeek: the LangChain face. It adapts; `LatentAgent` does the work."""

import difflib
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import fields
from typing import Any, Literal

from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from pydantic import model_validator

from latent_agent.agent import LatentAgent, default_reward
from latent_agent.memories import open_memory
from latent_agent.messages import to_turns
from latent_agent.namespaces import NamespacedChatModel
from latent_agent.outcome import Outcome
from latent_agent.recollection import Recollection
from latent_agent.response import metadata, usage
from latent_agent.reward import Reward, as_reward
from latent_agent.settings import Settings, settings_for
from latent_agent.shared_model import SharedModel, open_model

_SETTINGS = tuple(
    field.name for field in fields(Settings) if field.name not in ("stop", "reward_offset", "judge")
)


class ChatLatentSeek(NamespacedChatModel):
    """A chat model that drafts, judges its own draft, and searches its latents for a better one.

    Setup:
        ``pip install latent-agent``. The bundled model needs nothing else; other models are
        loaded by Hugging Face id or from a local folder. Building the object reads no weights.

    Key init args, completion:
        temperature: 0 (default) is greedy; see ``samples``.
        max_tokens: Longest answer, the optimised prefix included.
        stop: Texts that end an answer.
        timeout: Seconds after which the best answer so far is returned.
        seed: Seed of all sampling.

    Key init args, client:
        model: ``"bundled"``, a Hugging Face id, a local folder, or a loaded model.
        tokenizer: Needed beside a loaded model.
        dtype: Name of a torch dtype; by default float32 on the CPU, the checkpoint's elsewhere.
        device: Torch device; by default CUDA where there is one.

    Key init args, search:
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
        reward: A built-in reward or any ``(question, answer) -> float`` in [-1, 0]; by default
            the model judges itself.

    Key init args, memory:
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
        .. code-block:: python

            from latent_agent import ChatLatentSeek

            chat = ChatLatentSeek(model="bundled")

    Invoke:
        .. code-block:: python

            message = chat.invoke("Today is Monday. The trip of Tom was 3 days ago. "
                                  "What day was the trip?")
            message.text

    Stream:
        .. code-block:: python

            for chunk in chat.stream("..."):
                print(chunk.text, end="")

        The search ends before the first chunk: what is streamed is the final answer.

    Async:
        .. code-block:: python

            await chat.ainvoke("...")

    Token usage:
        ``message.usage_metadata`` counts the prompt and the answer that the user sees; the whole
        bill is in ``response_metadata["latent_agent"]["forwarded_tokens"]``.

    Response metadata:
        ``message.response_metadata["latent_agent"]`` is a plain dict: draft, rewards, iterations,
        road, stopped, checks, error, warm_start, trace_id, memory_error, forwarded_tokens.
    """

    model: Any
    tokenizer: Any = None
    dtype: str | None = None
    device: str | None = None
    recipe: str = "default"
    temperature: float | None = None
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
    max_retries: int | None = None
    """Accepted, as all chat models do; a local model has nothing to retry."""
    api_key: Any = None
    """Accepted, as all chat models do; a local model needs none."""
    streaming: bool = False
    """Accepted, as all chat models do; ``stream`` always streams."""

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
        if isinstance(self.model, str):
            return self.model
        return self.model.config.name_or_path or type(self.model).__name__

    @property
    def _identifying_params(self) -> dict[str, Any]:
        settings = {
            name: getattr(self, name) for name in (*_SETTINGS, "stop", "recipe", "namespace")
        }
        return {"model": self.model_name, "reward": repr(self.reward), **settings}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = super()._get_ls_params(stop=stop, **kwargs)
        params["ls_provider"] = "latent-agent"
        params["ls_model_name"] = kwargs.get("model") or self.model_name
        return params

    def _shared_model(self) -> SharedModel:
        return open_model(self.model, self.tokenizer, self.dtype, self.device)

    def _settings(self, given: dict[str, Any], stop: list[str] | None = None) -> Settings:
        """Merge the constructor's settings with one call's; the latter win."""
        chosen = {name: getattr(self, name) for name in _SETTINGS}
        chosen |= {name: given[name] for name in _SETTINGS if given.get(name) is not None}
        words = stop if stop is not None else self.stop
        chosen["stop"] = tuple([words] if isinstance(words, str) else words or ())
        return settings_for(given.get("recipe", self.recipe), **chosen)

    def _answer(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, given: dict[str, Any]
    ) -> Outcome:
        turns, settings = to_turns(messages), self._settings(given, stop)
        custom = given.get("reward", self.reward)
        reward = default_reward(settings.judge) if custom is None else as_reward(custom)
        agent = LatentAgent(
            self._shared_model(), settings, reward, self._recollection(given, reward)
        )
        return agent.answer(turns)

    def _recollection(self, given: dict[str, Any], reward: Reward) -> Recollection | None:
        mode = given.get("memory_mode", self.memory_mode)
        memory = open_memory(given.get("memory", self.memory), mode)
        if memory is None:
            return None
        namespace = given.get("namespace", self.namespace)
        version = given.get("prior", self.prior)
        prior = None if version is None else str(version)
        return Recollection(memory, namespace, reward.id, mode, self.embeddings, prior)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,  # noqa: ARG002 - the base's name
        **kwargs: Any,
    ) -> ChatResult:
        outcome = self._answer(messages, stop, kwargs)
        message = AIMessage(
            content=outcome.text,
            usage_metadata=usage(outcome),
            response_metadata=metadata(outcome, self.model_name),
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        outcome = self._answer(messages, stop, kwargs)
        for word in re.findall(r"\s*\S+|\s+$", outcome.text):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=word))
            if run_manager:
                run_manager.on_llm_new_token(word, chunk=chunk)
            yield chunk
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                usage_metadata=usage(outcome),
                response_metadata=metadata(outcome, self.model_name),
                chunk_position="last",
            )
        )
