"""Find a model for transformers, and refuse what cannot be searched before any weights are read.

Weights are read from safetensors or a GGUF file, never from pickles, and code that a model brings
along is run only where ``model_kwargs`` say so.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from latent_agent.errors import ModelError
from latent_agent.model.fingerprint import folder_weights
from latent_agent.model.places import is_path, location
from latent_agent.model.transformers_engine.from_pretrained import FromPretrained
from latent_agent.model.transformers_engine.progress_bars import without_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def revision(name: str, config: Any) -> str | None:
    """What is known of the weights without loading them: the hub's revision, or the files' hash."""
    folder = Path(location(name))
    if folder.is_dir():
        return folder_weights(folder)
    commit: str | None = getattr(config, "_commit_hash", None)
    return f"{name}@{commit}" if commit else None


def context_window(config: Any) -> int | None:
    """Return how many positions a model knows, or None if its config sets no limit."""
    return getattr(config, "max_position_embeddings", None)


def weights_size(name: str, config: Any) -> int | None:
    """Return how many bytes the files with the weights take; None: they are not on this disk."""
    from huggingface_hub import try_to_load_from_cache

    folder = Path(location(name))
    if not folder.is_dir():
        commit: str | None = getattr(config, "_commit_hash", None)
        cached = try_to_load_from_cache(name, "config.json", revision=commit)
        if not isinstance(cached, str):
            return None
        folder = Path(cached).parent
    return sum(file.stat().st_size for file in folder.glob("*.safetensors")) or None


def load_config(name: str, given: Mapping[str, Any]) -> Any:
    """Read a model's config.

    Args:
        name: The model.
        given: Arguments of ``from_pretrained``.

    Raises:
        ModelError: If there is none, or it is no causal LM's.
    """
    from transformers import AutoConfig

    if is_path(name) and not Path(location(name)).is_dir():
        raise ModelError(
            f"model must be a folder, got {name!r}, which is none; give the folder that "
            "holds config.json, a Hugging Face id, or 'bundled'"
        )
    try:
        with without_bars():
            config = AutoConfig.from_pretrained(location(name), **given)
    except (OSError, ValueError, KeyError) as error:
        if _wants_trust(error):
            raise ModelError(
                f"a model that brings its own code must be trusted first, got {name!r} without "
                "trust_remote_code; read its code, then give "
                "model_kwargs={'trust_remote_code': True}, or choose another model"
            ) from error
        raise ModelError(
            f"model must name a Hugging Face model or a local folder, got {name!r}, of "
            f"which no config can be read ({_first_line(error)}); check the spelling, download "
            f"the model first (hf download {name}), or use model='bundled'"
        ) from error
    check_causal(config, (config.architectures or [""])[0])
    return config


def _wants_trust(error: Exception) -> bool:
    return "trust_remote_code" in str(error)


def check_causal(config: Any, architecture: str) -> None:
    """Refuse what is no causal language model."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    own = getattr(config, "auto_map", None) or {}
    known = config.model_type in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES or "AutoModelForCausalLM" in own
    endings = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    speaks = not architecture or architecture.endswith(endings)
    if not known or config.is_encoder_decoder or not speaks:
        raise ModelError(
            f"model must be a causal language model, got {architecture or config.model_type!r}; "
            "choose one whose architecture ends in ForCausalLM"
        )


def load_tokenizer(
    place: "str | PreTrainedTokenizerBase",
    given: Mapping[str, Any] = MappingProxyType({"trust_remote_code": False}),
) -> "PreTrainedTokenizerBase":
    """Read a tokenizer from a folder or hub id, or return a loaded one as it is.

    Raises:
        ModelError: If there is none.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerBase

    if isinstance(place, PreTrainedTokenizerBase):
        return place
    try:
        with without_bars():
            return AutoTokenizer.from_pretrained(place, **given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"tokenizer must lie beside the model or be given, got {place!r}, of which none can "
            f"be read ({_first_line(error)}); pass tokenizer='folder or id'"
        ) from error


def load_model(
    name: str, place: str, dtype: str, given: FromPretrained, **more: Any
) -> "PreTrainedModel":
    """Read the weights.

    Args:
        name: The model, for messages.
        place: A folder, or a Hugging Face id.
        dtype: In which data type they are computed with.
        given: What was given beside it.
        more: Where and what else `from_pretrained` is to read.

    Raises:
        ModelError: If they cannot be read.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    try:
        with without_bars():
            model = AutoModelForCausalLM.from_pretrained(
                place, dtype=dtype, use_safetensors=True, **given.of_weights, **more
            )
    except (TypeError, AttributeError) as error:  # what it raises for arguments it does not know
        raise ModelError(
            f"model_kwargs must be arguments of from_pretrained for {name!r}, got {given.names} "
            f"({_first_line(error)}); correct them, or leave them out"
        ) from error
    except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(
            f"the weights of {name!r} must be readable as safetensors, but loading them "
            f"failed ({_first_line(error)}); download the model again, convert pickled weights to "
            "safetensors, install what quantised ones need, or choose another"
        ) from error
    moved: Any = model
    return model if given.places_itself else moved.to(default_device(given))


def default_device(given: FromPretrained) -> str:
    """Return the device that was given; else CUDA where there is one, and the CPU."""
    import torch

    return given.device or ("cuda" if torch.cuda.is_available() else "cpu")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
