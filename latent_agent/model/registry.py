"""Models that all users of the same one share, opened only as far as they are needed."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from latent_agent.errors import ModelError
from latent_agent.model.admission import CallQueue
from latent_agent.model.fingerprint import (
    fingerprint,
    model_weights,
    tokenizer_state,
    weights_state,
)
from latent_agent.model.loading import (
    ModelSource,
    check_causal,
    check_device,
    check_dtype,
    load_config,
    load_model,
    load_tokenizer,
    place_name,
    revision,
)
from latent_memory.fork_renewal import ForkSafeLock, Renewed

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from latent_agent.model.backbone import Backbone


DATE = "date_string"  # as Llama's templates call it
JUDGE_FILE = "judge.json"
_LONGEST = 1 << 20  # bytes of judge prompts


class SharedModel(Renewed):
    """A model that is opened in two steps: config and tokenizer first, weights when needed."""

    def __init__(
        self,
        config: Callable[[], Any],
        tokenizer: "Callable[[], PreTrainedTokenizerBase]",
        model: "Callable[[Any], PreTrainedModel]",
        weights: Callable[[Any], str | None] = lambda _: None,
        weights_now: Callable[[], object] = lambda: None,
    ) -> None:
        self._weights_now = weights_now
        self._open_config, self._open_tokenizer, self._open_model = config, tokenizer, model
        self._weights = weights
        self.queue = CallQueue()
        self._opened: dict[str, Any] = {}
        self._fingerprints: dict[str, tuple[object, str]] = {}  # each with the state it is of
        self._left_behind = False
        self._lock = ForkSafeLock()
        super().__init__()

    def renew(self) -> None:
        """Note in a forked child that weights on a GPU belong to the parent."""
        backbone: Backbone | None = self._opened.get("backbone")
        self._left_behind = backbone is not None and backbone.device.type != "cpu"

    def _once(self, name: str, read: Callable[[], Any]) -> Any:
        """Return what is read once; not by functools, whose lock crosses a fork."""
        if name not in self._opened:
            with self._lock:
                if name not in self._opened:
                    self._opened[name] = read()
        return self._opened[name]

    @property
    def config(self) -> Any:
        """The model's config."""
        return self._once("config", self._open_config)

    @property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The model's tokenizer."""
        self.config  # noqa: B018 - an unknown model is reported before a missing tokenizer
        return self._once("tokenizer", self._open_tokenizer)

    @property
    def judge_prompts(self) -> Mapping[str, Any] | None:
        """Judge prompts that travel in the model's folder, or None."""
        return self._once("judge_prompts", self._read_judge_prompts)

    def _read_judge_prompts(self) -> Mapping[str, Any] | None:
        folder: str = self.config.name_or_path
        path = Path(folder) / JUDGE_FILE
        if not folder or not path.is_file():
            return None
        try:
            if path.stat().st_size > _LONGEST:
                raise ValueError(f"it is longer than {_LONGEST} bytes")
            return dict(json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise ModelError(
                f"a model's {JUDGE_FILE} must be one JSON object, got {str(path)!r} ({error}); fix "
                "it, or delete it for the built-in prompts"
            ) from error

    @property
    def context_window(self) -> int | None:
        """How many positions the model knows."""
        from latent_agent.model.backbone import context_window

        return context_window(self.config.get_text_config())

    @property
    def vocabulary(self) -> int:
        """How many tokens the model has, as its config says."""
        return self.config.get_text_config().vocab_size

    @property
    def width(self) -> int:
        """How many numbers a latent has (d), as the config says."""
        return self.config.get_text_config().hidden_size

    def fingerprint(
        self, embedding: str, chat_template_kwargs: Mapping[str, Any] = MappingProxyType({})
    ) -> str:
        """Return an id of the latents and embeddings of this model, and of no other's.

        A tokenizer, or the weights of a model given as an object, may have been changed in place
        since the last time.

        Args:
            embedding: Name of the embedding recipe.
            chat_template_kwargs: Arguments of the chat template. A date is left out, lest all
                traces be lost with each day.
        """
        given = {name: chat_template_kwargs[name] for name in {*chat_template_kwargs} - {DATE}}
        if given:
            embedding += f" {json.dumps(given, sort_keys=True)}"
        with self._lock:
            state = tokenizer_state(self.tokenizer), self._weights_now()
            before, known = self._fingerprints.get(embedding, (None, ""))
            if before != state:
                weights = self._weights(self.config) or model_weights(self.backbone().model)
                known = fingerprint(weights, self.config, self.tokenizer, embedding)
                self._fingerprints[embedding] = state, known
            return known

    def backbone(self) -> "Backbone":
        """Return the loaded model; weights are read at the first call only.

        Raises:
            ModelError: If this process was forked from one that had loaded it on a GPU.
        """
        if self._left_behind:
            raise ModelError(
                f"a model on a GPU must be used by the process that loaded it, got process "
                f"{os.getpid()}, which was forked from that one; start workers with spawn, or load "
                "the model after the fork"
            )
        return self._once("backbone", self._load)

    def _load(self) -> "Backbone":
        from latent_agent.model.backbone import Backbone

        return Backbone(self._open_model(self.config), self.tokenizer)


_shared: WeakValueDictionary[tuple[Any, ...], SharedModel] = WeakValueDictionary()
_shared_lock = ForkSafeLock()


def open_model(
    model: "str | os.PathLike[str] | PreTrainedModel",
    tokenizer: "str | os.PathLike[str] | PreTrainedTokenizerBase | None" = None,
    dtype: str | None = None,
    device: str | None = None,
) -> SharedModel:
    """Return the model that all users of the same one share, while one of them holds it.

    Args:
        model: ``bundled``, a Hugging Face id, a local folder, or a loaded model.
        tokenizer: A tokenizer, or where to load it from; needed with a loaded model.
        dtype: Name of a torch dtype.
        device: Torch device.

    Raises:
        ModelError: If the arguments name no model that can be searched.
    """
    check_device(device)
    named, beside = place_name(model), place_name(tokenizer)
    if isinstance(named, str):
        check_dtype(dtype)
        source = ModelSource(named, dtype, device)
        made = _from_source(source, beside)
        # A loaded object lives as long as what it is shared through, so its id is not reused.
        key = (source, beside if isinstance(beside, str) else id(beside))
    else:
        made = _from_loaded(named, beside)
        key = (id(named), id(beside))
    with _shared_lock:
        return _shared.setdefault(key, made)


def shared_by_copies(memo: dict[int, Any] | None, *loaded: object) -> dict[int, Any]:
    """Let a deep copy share what is loaded: it is never changed, and may be large."""
    memo = {} if memo is None else memo
    memo.update((id(one), one) for one in loaded)
    return memo


def _from_loaded(model: Any, tokenizer: Any) -> SharedModel:
    from transformers import PreTrainedModel

    if not isinstance(model, PreTrainedModel):
        raise ModelError(
            "model must be a name, a folder or a loaded transformers model, got "
            f"{type(model).__name__}; for example model='bundled'"
        )
    check_causal(model.config, type(model).__name__)
    place = tokenizer or model.config.name_or_path
    if not place:
        raise ModelError(
            f"a loaded model needs its tokenizer, got tokenizer={tokenizer!r}; pass "
            "tokenizer=AutoTokenizer.from_pretrained(...) beside the model"
        )
    return SharedModel(
        lambda: model.config,
        lambda: load_tokenizer(place),
        lambda _: model,
        weights_now=lambda: weights_state(model),
    )


def _from_source(source: ModelSource, tokenizer: Any) -> SharedModel:
    return SharedModel(
        lambda: load_config(source),
        lambda: load_tokenizer(tokenizer or source.location),
        lambda config: load_model(source, config),
        lambda config: revision(source, config),
    )
