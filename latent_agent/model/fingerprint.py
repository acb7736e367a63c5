"""What made a trace: weights, tokenizer, chat template, hidden size, embedding recipe.

Latents of one model say nothing to another, so only traces of the same fingerprint are recalled.
"""

import copy
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_cache_path

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_WEIGHTS = ("*.safetensors", "*.bin")


def fingerprint(
    weights: str, width: int, tokenizer: "PreTrainedTokenizerBase", embedding: str
) -> str:
    """Combine all that latents and embeddings depend on into one short id.

    Args:
        weights: What `folder_weights`, `model_weights` or a revision says of the weights.
        width: How many numbers a latent has (d).
        tokenizer: Its tokenizer, with its chat template.
        embedding: Name of the embedding recipe.
    """
    parts = (
        weights,
        str(width),
        _tokenizer_text(tokenizer),
        *_around_text(tokenizer),
        embedding,
    )
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _tokenizer_text(tokenizer: "PreTrainedTokenizerBase") -> str:
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return json.dumps(tokenizer.get_vocab(), sort_keys=True)
    if backend.truncation or backend.padding:  # of a file or a call: prompts have neither
        backend = copy.deepcopy(backend)
        backend.no_truncation()
        backend.no_padding()
    return backend.to_str()


def _around_text(tokenizer: "PreTrainedTokenizerBase") -> tuple[str, str]:
    """Return what else a prompt depends on: the template, and the special tokens named in it."""
    special: Mapping[str, Any] = tokenizer.special_tokens_map
    return (
        json.dumps(tokenizer.chat_template, sort_keys=True),
        json.dumps(special, sort_keys=True, default=str),
    )


def tokenizer_state(tokenizer: "PreTrainedTokenizerBase") -> tuple[object, ...]:
    """Return what shows that a tokenizer was changed in place, cheap enough for each call.

    Of a vocabulary that is its length and the tokens that were added.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    parts = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    steps = [getattr(backend, part, None) for part in parts]
    return (
        *_around_text(tokenizer),
        len(tokenizer),
        repr(tokenizer.added_tokens_decoder),
        *(None if step is None else step.__getstate__() for step in steps),
    )


def weights_state(model: "PreTrainedModel") -> tuple[object, ...]:
    """Return what shows that a loaded model's weights were changed in place, or replaced."""
    return tuple(
        (weight.data_ptr(), None if weight.is_inference() else weight._version)
        for weight in model.parameters()
    )


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
    """Hash a model folder's weight files; None if it holds none. See `file_hash`."""
    files = sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))
    return file_hash(files) if files else None


def file_hash(files: Sequence[Path], *, named: bool = True) -> str:
    """Hash files, one after the other.

    Large files take seconds, so the hash is cached in the user's cache folder, by path, size
    and time of change.

    Args:
        files: The files.
        named: Whether their names count too.
    """
    states = [(file, file.stat()) for file in files]
    kept: list[object] = [[str(file.resolve()), s.st_size, s.st_mtime_ns] for file, s in states]
    key = json.dumps(kept if named else [*kept, "contents"])
    cached = _cache_file(hashlib.sha256(key.encode()).hexdigest())
    if cached is None:
        return _hash_files(files, named=named)
    try:
        return cached.read_text("ascii")
    except OSError:
        digest = _hash_files(files, named=named)
    try:
        cached.parent.mkdir(parents=True, exist_ok=True)
        cached.write_text(digest, "ascii")
    except OSError:
        pass  # without a cache folder it is hashed again next time
    return digest


def _cache_file(name: str) -> Path | None:
    """Return where a hash is cached; None where there is no home folder for a cache."""
    try:
        folder = user_cache_path("latent-agent")
    except RuntimeError:
        return None
    return folder / "weights" / name if folder.is_absolute() else None


def _hash_files(files: Sequence[Path], *, named: bool) -> str:
    digest = hashlib.sha256()
    for file in files:
        if named:
            digest.update(file.name.encode())
        with file.open("rb") as stream:
            hashlib.file_digest(stream, lambda: digest)
    return digest.hexdigest()
