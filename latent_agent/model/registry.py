"""Models that all users of the same one share, opened only as far as they are needed."""

import json
import os
from collections.abc import Callable, Mapping
from copy import copy
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from latent_agent.errors import ModelError
from latent_agent.model.admission import CallQueue
from latent_agent.model.fingerprint import fingerprint, tokenizer_state
from latent_agent.model.load_watch import watched_load
from latent_agent.model.options import LoadOptions
from latent_agent.model.places import location, place_name
from latent_agent.model.source import ModelFacts, ModelSource
from latent_memory.fork_renewal import ForkSafeLock, Renewed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from latent_agent.model.engine import Engine

DATE = "date_string"  # as Llama's templates call it


class SharedModel(Renewed):
    """A model that is opened in two steps: facts and tokenizer first, weights when needed."""

    def __init__(self, source: ModelSource) -> None:
        self._source = source
        self.queue = CallQueue()
        self._opened: dict[str, Any] = {}
        self._fingerprints: dict[str, tuple[object, str]] = {}  # each with the state it is of
        self._left_behind: Engine | None = None
        self._served_by: Engine | None = None
        self._lock = ForkSafeLock()
        super().__init__()

    def renew(self) -> None:
        """Note in a forked child what it cannot use of its parent's."""
        engine: Engine | None = self._opened.get("engine")
        if engine is not None and not engine.survives_fork:
            self._left_behind = engine  # never freed here: that would be its parent's

    def _once(self, name: str, read: Callable[[], Any]) -> Any:
        """Return what is read once; not by functools, whose lock crosses a fork."""
        if name not in self._opened:
            with self._lock:
                if name not in self._opened:
                    self._opened[name] = read()
        return self._opened[name]

    @property
    def facts(self) -> ModelFacts:
        """What is known of the model before its weights are read."""
        return self._once("facts", self._source.facts)

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The model's tokenizer."""
        self.facts  # noqa: B018 - an unknown model is reported before a missing tokenizer
        return self._once("tokenizer", self._source.tokenizer)

    @property
    def judge_prompts(self) -> Mapping[str, Any] | None:
        """Judge prompts that travel with the model, or None."""
        return self._once("judge_prompts", self._source.judge_prompts)

    @property
    def name(self) -> str:
        """The model's id, path or file."""
        return self.facts.name

    @property
    def context_window(self) -> int | None:
        """How many positions the model knows."""
        return self.facts.context_window

    @property
    def vocabulary(self) -> int:
        """How many tokens the model has."""
        return self.facts.vocabulary

    @property
    def width(self) -> int:
        """How many numbers a latent has (d)."""
        return self.facts.width

    def fingerprint(
        self,
        embedder: str | None = None,
        chat_template_kwargs: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        """Return an id of the latents and embeddings of this model, and of no other's.

        A tokenizer, or the weights of a model given as an object, may have been changed in place
        since the last time.

        Args:
            embedder: Name of what embeds questions in place of the model; None: the model does.
            chat_template_kwargs: Arguments of the chat template. A date is left out, lest all
                traces be lost with each day.
        """
        recipe = embedder or self._source.embedding
        given = {name: chat_template_kwargs[name] for name in {*chat_template_kwargs} - {DATE}}
        if given:
            recipe += f" {json.dumps(given, sort_keys=True)}"
        with self._lock:
            state = tokenizer_state(self.tokenizer), self._source.state()
            before, known = self._fingerprints.get(recipe, (None, ""))
            if before != state:
                weights = self._source.weights(None) or self._source.weights(self._own_engine())
                assert weights is not None
                known = fingerprint(weights, self.width, self.tokenizer, recipe)
                self._fingerprints[recipe] = state, known
            return known

    def engine(self) -> "Engine":
        """Return the loaded model; weights are read at the first call only.

        Raises:
            ModelError: If this process was forked from one that had loaded it, and its engine
                cannot be used from both.
        """
        return self._served_by or self._own_engine()

    def served_by(self, engine: "Engine") -> "SharedModel":
        """Return this model with an engine around its own; all else is the same."""
        other = copy(self)
        other._served_by = engine
        return other

    def _own_engine(self) -> "Engine":
        if self._left_behind is not None:
            raise ModelError(
                f"a model on {self._left_behind.place} must be used by the process that loaded it, "
                f"got process {os.getpid()}, which was forked from that one; start workers with "
                "spawn, or load the model after the fork"
            )
        return self._once("engine", self._load)

    @property
    def loaded(self) -> bool:
        """Whether the weights have been read."""
        return "engine" in self._opened

    def _load(self) -> "Engine":
        tokenizer, source, size = self.tokenizer, self._source, self.size
        weight = "" if size is None else f"{size / 1e6:,.0f} MB"
        details = ", ".join(filter(None, (weight, source.precision())))
        with watched_load(self.name, details):
            return source.load(tokenizer)

    @property
    def size(self) -> int | None:
        """How many bytes the weights take on this disk; None: nobody knows."""
        return self._source.size()

    @property
    def precision(self) -> str:
        """The data type or quantisation that the model computes with, or an empty text."""
        return self._source.precision()


_shared: WeakValueDictionary[tuple[Any, ...], SharedModel] = WeakValueDictionary()
_shared_lock = ForkSafeLock()


def open_model(
    model: "str | os.PathLike[str] | PreTrainedModel | Engine",
    tokenizer: "str | os.PathLike[str] | PreTrainedTokenizerBase | None" = None,
    options: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
) -> SharedModel:
    """Return the model that all users of the same one share, while one of them holds it.

    Args:
        model: ``bundled``, a Hugging Face id, a GGUF file, a local folder, a loaded model, or an
            engine.
        tokenizer: A tokenizer, or where to load it from; needed with a loaded model.
        options: How it is opened.

    Raises:
        ModelError: If the arguments name no model that can be searched.
    """
    named, beside = place_name(model), place_name(tokenizer)
    # A loaded object lives as long as what it is shared through, so its id is not reused.
    key = (
        named if isinstance(named, str) else id(named),
        beside if isinstance(beside, str) else id(beside),
        options.key,
    )
    with _shared_lock:
        known = _shared.get(key)
        return known or _shared.setdefault(key, SharedModel(source_of(named, beside, options)))


def source_of(model: Any, tokenizer: Any, options: LoadOptions) -> ModelSource:
    """Return where a model comes from; reads nothing of a named one.

    Raises:
        ModelError: If the arguments name no model that can be searched.
    """
    from latent_agent.model.engine_source import EngineSource, is_engine
    from latent_agent.model.gguf.find import is_gguf
    from latent_agent.model.llama_engine.library import is_installed
    from latent_agent.model.llama_engine.source import GgufSource
    from latent_agent.model.transformers_engine.gguf_source import UnpackedGguf
    from latent_agent.model.transformers_engine.source import LoadedModel, NamedModel

    if is_engine(model):
        options.check_made("an engine")
        return EngineSource(model)
    packed = isinstance(model, str) and is_gguf(location(model))
    if options.engine == "llama.cpp" and not packed:
        shown = model if isinstance(model, str) else type(model).__name__
        raise ModelError(
            f"llama.cpp runs models in GGUF form, got {shown!r}; name a GGUF file, or leave "
            "engine out"
        )
    if not isinstance(model, str):
        options.check_made("a loaded model", "engine", "threads")
        return LoadedModel(model, tokenizer, options)
    if packed and (options.engine == "llama.cpp" or (options.engine == "auto" and is_installed())):
        options.check_for("llama.cpp")
        return GgufSource(location(model), tokenizer, options)
    options.check_for("transformers")
    source = UnpackedGguf if packed else NamedModel
    return source(location(model) if packed else model, tokenizer, options)


def shared_by_copies(memo: dict[int, Any] | None, *loaded: object) -> dict[int, Any]:
    """Let a deep copy share what is loaded: it is never changed, and may be large."""
    memo = {} if memo is None else memo
    memo.update((id(one), one) for one in loaded)
    return memo
