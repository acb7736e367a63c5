"""What a chat model can do, as far as it is known before anything is loaded."""

import json
from pathlib import Path
from typing import Any, cast

from huggingface_hub import try_to_load_from_cache
from langchain_core.language_models import ModelProfile

from latent_agent.model.engine_source import is_engine
from latent_agent.model.gguf.find import find, is_gguf
from latent_agent.model.places import BUNDLED, bundled_path


def profile_of(model: Any) -> ModelProfile:
    """Return the model's profile; ``max_input_tokens`` only where its config lies on this disk."""
    media = dict.fromkeys(("image_inputs", "audio_inputs", "video_inputs", "pdf_inputs"), False)
    profile = cast(ModelProfile, {"text_inputs": True, "text_outputs": True, **media})
    window = _window(model)
    if window is not None:
        profile["max_input_tokens"] = window
    return profile


def _window(model: Any) -> int | None:
    if is_engine(model):
        return model.context_window
    if isinstance(model, str) and is_gguf(model):
        return find(model).context_length if Path(model).exists() else None
    config = _config(model) if isinstance(model, str) else model.config.to_dict()
    text: dict[str, Any] = config.get("text_config") or config
    return text.get("max_position_embeddings")


def _config(name: str) -> dict[str, Any]:
    folder = bundled_path() if name == BUNDLED else Path(name)
    local = folder / "config.json"
    file = local if local.is_file() else try_to_load_from_cache(name, local.name)
    return json.loads(Path(file).read_text("utf-8")) if isinstance(file, (str, Path)) else {}
