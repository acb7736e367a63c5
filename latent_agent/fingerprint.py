"""What made a trace: weights, tokenizer, chat template, hidden size, embedding recipe.

Latents of one model say nothing to another, so only traces of the same fingerprint are recalled.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WEIGHTS = ("*.safetensors", "*.bin")
_CHUNK = 1 << 24


def fingerprint(
    weights: str, config: Any, tokenizer: "PreTrainedTokenizerBase", embedding: str
) -> str:
    """Combine all that latents and embeddings depend on into one short id.

    Args:
        weights: What `folder_weights`, `model_weights` or a revision says of the weights.
        config: The model's config.
        tokenizer: Its tokenizer, with its chat template.
        embedding: Name of the embedding recipe.
    """
    parts = (
        weights,
        str(config.get_text_config().hidden_size),
        _tokenizer_text(tokenizer),
        json.dumps(tokenizer.chat_template, sort_keys=True),
        embedding,
    )
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _tokenizer_text(tokenizer: "PreTrainedTokenizerBase") -> str:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        return backend.to_str()
    return json.dumps(tokenizer.get_vocab(), sort_keys=True)


def model_weights(model: "PreTrainedModel") -> str:
    """Hash the weights of a loaded model."""
    import torch

    digest = hashlib.sha256()
    for name, weight in sorted(model.state_dict().items()):
        digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode())
        flat = weight.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def folder_weights(folder: Path) -> str | None:
    """Hash a model folder's weight files; None if it holds none.

    Large files take seconds, so what was found is kept in the user's cache folder, by path, size
    and time of change.
    """
    files = sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))
    if not files:
        return None
    key = json.dumps([[str(file.resolve()), *_state(file)] for file in files])
    kept = _kept_at(_digest(key.encode()))
    if kept is None:
        return _hash_files(files)
    try:
        return kept.read_text("ascii")
    except OSError:
        found = _hash_files(files)
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(found, "ascii")
    except OSError:
        pass  # without a cache folder it is hashed again next time
    return found


def _kept_at(name: str) -> Path | None:
    """Return where a hash is kept; None where there is no home folder for a cache."""
    try:
        folder = user_cache_path("latent-agent")
    except RuntimeError:
        return None
    return folder / "weights" / name if folder.is_absolute() else None


def _state(file: Path) -> tuple[int, int]:
    found = file.stat()
    return found.st_size, found.st_mtime_ns


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hash_files(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
