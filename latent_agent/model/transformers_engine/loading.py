"""Find a model for transformers, and refuse what cannot be searched before any weights are read.

Weights are read from safetensors alone, never from pickles, and no code that a model brings along
is run. To run trusted code, load the model with transformers and pass the loaded model.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent_agent.errors import ModelError
from latent_agent.model.fingerprint import folder_weights
from latent_agent.model.options import LoadOptions
from latent_agent.model.places import is_path, location

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


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


def revision(name: str, config: Any) -> str | None:
    """What is known of the weights without loading them: the hub's revision, or the files' hash."""
    folder = Path(location(name))
    if folder.is_dir():
        return folder_weights(folder)
    commit: str | None = getattr(config, "_commit_hash", None)
    return f"{name}@{commit}" if commit else None


def load_config(name: str) -> Any:
    """Read a model's config; raise `ModelError` if there is none, or it is no causal LM's."""
    from transformers import AutoConfig

    if is_path(name) and not Path(location(name)).is_dir():
        raise ModelError(
            f"model must be a folder, got {name!r}, which is none; give the folder that "
            "holds config.json, a Hugging Face id, or 'bundled'"
        )
    try:
        config = AutoConfig.from_pretrained(location(name), trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"model must name a Hugging Face model or a local folder, got {name!r}, of "
            f"which no config can be read ({_first_line(error)}); check the spelling, download "
            f"the model first (hf download {name}), or use model='bundled'"
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


def load_model(name: str, options: LoadOptions, config: Any) -> "PreTrainedModel":
    """Read the weights; raise `ModelError` if they cannot be read."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = options.dtype or ("float32" if device == "cpu" else "auto")
    try:
        model = AutoModelForCausalLM.from_pretrained(
            location(name),
            config=config,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
        )
    except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the weights of {name!r} must be readable as safetensors, but loading them "
            f"failed ({_first_line(error)}); download the model again, convert pickled weights to "
            "safetensors, install what quantised ones need, or choose another"
        ) from error
    moved: Any = model
    return moved.to(device)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
