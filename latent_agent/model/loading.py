"""Find a model, and refuse what cannot be searched before any weights are read.

Weights are read from safetensors alone, never from pickles, and no code that a model brings along
is run. To run trusted code, load the model with transformers and pass the loaded model.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator

from latent_agent.errors import ModelError
from latent_agent.model.fingerprint import folder_weights

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

BUNDLED = "bundled"


def place_name(place: Any) -> Any:
    """Return the text that names a model or tokenizer; what is no path is returned as it is.

    A path becomes absolute: a relative one would be taken for a hub id, or the bundled model.
    """
    if not isinstance(place, os.PathLike):
        return place
    return str(Path(os.fsdecode(place)).expanduser().absolute())


Place = Annotated[Any, BeforeValidator(place_name)]
"""A field that names a model or tokenizer, or is one."""


def bundled_path() -> Path:
    """Return the folder of the bundled model."""
    return Path(__file__).parents[1] / "teaching" / "model"


@dataclass(frozen=True)
class ModelSource:
    """Where a model comes from: enough to identify it, and to load it.

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
        # Unlike Path.expanduser, it raises nothing where there is no home.
        return os.path.expanduser(self.name) if _is_path(self.name) else self.name  # noqa: PTH111


def _is_path(name: str) -> bool:
    try:
        return name.startswith((".", "/", "~")) or Path(name).exists()
    except OSError:  # longer than any file's name
        return False


def check_dtype(dtype: str | None) -> None:
    """Refuse what names no torch dtype."""
    if dtype is None:
        return
    import torch

    if not isinstance(getattr(torch, dtype, None), torch.dtype):
        raise ModelError(
            f"dtype must name a torch dtype, got {dtype!r}; use float32, bfloat16 or float16"
        )


def check_device(device: str | None) -> None:
    """Refuse what names no torch device."""
    if device is None:
        return
    import torch

    try:
        torch.device(device)
    except RuntimeError as error:
        raise ModelError(
            f"device must name a torch device, got {device!r}; use 'cpu', 'cuda' or 'cuda:1'"
        ) from error


def revision(source: ModelSource, config: Any) -> str | None:
    """What is known of the weights without loading them: the hub's revision, or the files' hash."""
    folder = Path(source.location)
    if folder.is_dir():
        return folder_weights(folder)
    commit: str | None = getattr(config, "_commit_hash", None)
    return f"{source.name}@{commit}" if commit else None


def load_config(source: ModelSource) -> Any:
    """Read a model's config; raise `ModelError` if there is none, or it is no causal LM's."""
    from transformers import AutoConfig

    if _is_path(source.name) and not Path(source.location).is_dir():
        raise ModelError(
            f"model must be a folder, got {source.name!r}, which is none; give the folder that "
            "holds config.json, a Hugging Face id, or 'bundled'"
        )
    try:
        config = AutoConfig.from_pretrained(source.location, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"model must name a Hugging Face model or a local folder, got {source.name!r}, of "
            f"which no config can be read ({_first_line(error)}); check the spelling, download "
            f"the model first (hf download {source.name}), or use model='bundled'"
        ) from error
    check_causal(config, (config.architectures or [""])[0])
    return config


def check_causal(config: Any, architecture: str) -> None:
    """Refuse what is no causal language model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    known = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    endings = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    speaks = not architecture or architecture.endswith(endings)
    if not known or config.is_encoder_decoder or not speaks:
        raise ModelError(
            f"model must be a causal language model, got {architecture or config.model_type!r}; "
            "choose one whose architecture ends in ForCausalLM"
        )


def load_tokenizer(place: "str | PreTrainedTokenizerBase") -> "PreTrainedTokenizerBase":
    """Read a tokenizer from a folder or hub id, or return a loaded one as it is.

    Raises:
        ModelError: If there is none.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    if isinstance(place, PreTrainedTokenizerBase):
        return place
    try:
        return AutoTokenizer.from_pretrained(place, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"tokenizer must lie beside the model or be given, got {place!r}, of which none can "
            f"be read ({_first_line(error)}); pass tokenizer='folder or id'"
        ) from error


def load_model(source: ModelSource, config: Any) -> "PreTrainedModel":
    """Read the weights; raise `ModelError` if they cannot be read."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    device = source.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = source.dtype or ("float32" if device == "cpu" else "auto")
    try:
        model = AutoModelForCausalLM.from_pretrained(
            source.location,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the weights of {source.name!r} must be readable as safetensors, but loading them "
            f"failed ({_first_line(error)}); download the model again, convert pickled weights to "
            "safetensors, install what quantised ones need, or choose another"
        ) from error
    moved: Any = model
    return moved.to(device)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
