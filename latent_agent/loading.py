"""Find a model, refuse what cannot be searched before any weights are read, and share what is."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from latent_agent.backbone import Backbone, context_window
from latent_agent.errors import ModelError
from latent_agent.reward.judge_prompts import JUDGE_FILE

BUNDLED = "bundled"


def bundled_path() -> Path:
    """Return the folder of the bundled model."""
    return Path(__file__).parent / "teaching" / "model"


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: enough to tell two apart, and to load it.

    Attributes:
        name: ``bundled``, a Hugging Face id, or a local folder.
        dtype: Name of a torch dtype; None: float32 on the CPU, the checkpoint's own elsewhere.
        device: Torch device; None: CUDA where there is one, else the CPU.
    """

    name: str
    dtype: str | None = None
    device: str | None = None

    @property
    def location(self) -> str:
        """What ``from_pretrained`` is given."""
        if self.name == BUNDLED:
            return str(bundled_path())
        return str(Path(self.name).expanduser()) if _is_path(self.name) else self.name


def _is_path(name: str) -> bool:
    try:
        return name.startswith((".", "/", "~")) or Path(name).exists()
    except OSError:  # longer than any file's name
        return False


class SharedModel:
    """A model that is opened in two steps: config and tokenizer first, weights when needed."""

    def __init__(
        self,
        config: Callable[[], Any],
        tokenizer: Callable[[], PreTrainedTokenizerBase],
        model: Callable[[Any], PreTrainedModel],
    ) -> None:
        self._open_config, self._open_tokenizer, self._open_model = config, tokenizer, model
        self._lock = threading.RLock()

    @cached_property
    def config(self) -> Any:
        """The model's config."""
        with self._lock:
            return self._open_config()

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's tokenizer."""
        with self._lock:
            self.config  # noqa: B018 - an unknown model is told before a missing tokenizer
            return self._open_tokenizer()

    @cached_property
    def judge_prompts(self) -> Mapping[str, Any] | None:
        """Judge prompts that travel in the model's folder, or None."""
        folder: str = self.config.name_or_path
        path = Path(folder) / JUDGE_FILE
        if not folder:
            return None
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    @property
    def context_window(self) -> int | None:
        """How many positions the model knows."""
        return context_window(self.config.get_text_config())

    def backbone(self) -> Backbone:
        """Return the loaded model; weights are read at the first call only."""
        with self._lock:
            return self._backbone

    @cached_property
    def _backbone(self) -> Backbone:
        return Backbone(self._open_model(self.config), self.tokenizer)


_shared: dict[tuple[Any, ...], SharedModel] = {}
_shared_lock = threading.Lock()


def open_model(
    model: str | PreTrainedModel,
    tokenizer: str | PreTrainedTokenizerBase | None = None,
    dtype: str | None = None,
    device: str | None = None,
) -> SharedModel:
    """Return the model that all who ask for the same one share.

    Args:
        model: ``bundled``, a Hugging Face id, a local folder, or a loaded model.
        tokenizer: A tokenizer, or where to load it from; needed with a loaded model.
        dtype: Name of a torch dtype.
        device: Torch device.

    Raises:
        ModelError: If the arguments name no model that can be searched.
    """
    _check_device(device)
    if isinstance(model, str):
        _check_dtype(dtype)
        source = ModelSource(model, dtype, device)
        made = _from_source(source, tokenizer)
        # A loaded object stays alive in what it is shared through, so its id is not reused.
        key = (source, tokenizer if isinstance(tokenizer, str) else id(tokenizer))
    else:
        made = _from_loaded(model, tokenizer)
        key = (id(model), id(tokenizer))
    with _shared_lock:
        return _shared.setdefault(key, made)


def _check_dtype(dtype: str | None) -> None:
    if dtype is not None and not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ModelError(
            f"dtype must name a torch dtype, got {dtype!r}; use float32, bfloat16 or float16"
        )


def _check_device(device: str | None) -> None:
    try:
        torch.device(device or "cpu")
    except RuntimeError as error:
        raise ModelError(
            f"device must name a torch device, got {device!r}; use 'cpu', 'cuda' or 'cuda:1'"
        ) from error


def _from_loaded(model: Any, tokenizer: str | PreTrainedTokenizerBase | None) -> SharedModel:
    if not isinstance(model, PreTrainedModel):
        raise ModelError(
            "model must be a name, a folder or a loaded transformers model, got "
            f"{type(model).__name__}; for example model='bundled'"
        )
    _check_causal(model.config, type(model).__name__)
    if isinstance(tokenizer, PreTrainedTokenizerBase):
        given = tokenizer
        return SharedModel(lambda: model.config, lambda: given, lambda _: model)
    place = tokenizer or model.config.name_or_path
    if not place:
        raise ModelError(
            f"a loaded model needs its tokenizer, got tokenizer={tokenizer!r}; pass "
            "tokenizer=AutoTokenizer.from_pretrained(...) beside the model"
        )
    return SharedModel(lambda: model.config, lambda: _load_tokenizer(place), lambda _: model)


def _from_source(
    source: ModelSource, tokenizer: str | PreTrainedTokenizerBase | None
) -> SharedModel:
    def open_tokenizer() -> PreTrainedTokenizerBase:
        if isinstance(tokenizer, PreTrainedTokenizerBase):
            return tokenizer
        return _load_tokenizer(tokenizer or source.location)

    return SharedModel(
        lambda: _load_config(source), open_tokenizer, lambda config: _load_model(source, config)
    )


def _load_config(source: ModelSource) -> Any:
    if _is_path(source.name) and not Path(source.location).is_dir():
        raise ModelError(
            f"model must be a folder, got {source.name!r}, which is none; give the folder that "
            "holds config.json, a Hugging Face id, or 'bundled'"
        )
    try:
        config = AutoConfig.from_pretrained(source.location)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"model must name a Hugging Face model or a local folder, got {source.name!r}, of "
            f"which no config can be read ({_first_line(error)}); check the spelling, download "
            "the model first, or use model='bundled'"
        ) from error
    _check_causal(config, (config.architectures or [""])[0])
    return config


def _check_causal(config: Any, architecture: str) -> None:
    known = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    endings = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    speaks = not architecture or architecture.endswith(endings)
    if not known or config.is_encoder_decoder or not speaks:
        raise ModelError(
            f"model must be a causal language model, got {architecture or config.model_type!r}; "
            "choose one whose architecture ends in ForCausalLM"
        )


def _load_tokenizer(place: str) -> PreTrainedTokenizerBase:
    try:
        return AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"tokenizer must lie beside the model or be given, got {place!r}, of which none can "
            f"be read ({_first_line(error)}); pass tokenizer='folder or id'"
        ) from error


def _load_model(source: ModelSource, config: Any) -> PreTrainedModel:
    device = source.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = source.dtype or ("float32" if device == "cpu" else "auto")
    try:
        model = AutoModelForCausalLM.from_pretrained(source.location, config=config, dtype=dtype)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the weights of {source.name!r} must be readable, but loading them failed "
            f"({_first_line(error)}); download the model again, or choose another"
        ) from error
    moved: Any = model
    return moved.to(device)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
