"""Refuse, before any weights are read, files of which no language model can be searched."""

from collections.abc import Mapping, Sequence
from math import prod
from typing import NoReturn

from latent_agent.errors import ModelError
from latent_agent.model.gguf.header import Header, Tensor, package
from latent_agent.model.gguf.weights import head_tensor

_OTHER_TYPES = {
    "adapter": ("a LoRA adapter", "merge it into its model first (llama-export-lora)"),
    "mmproj": ("a vision projector", "give the language model's own file"),
    "imatrix": ("an importance matrix", "give the model's own file"),
}
_EMBEDDERS = ("t5encoder", "gemma-embedding", "llama-embed")
_POOLED = (1, 2, 3, 4)  # mean, first, last, rank
_NO_WRITERS = ("t5", "wavtokenizer-dec", "dream", "llada", "llada-moe", "rnd1")
# Their state cannot go back to an earlier token: it is not kept token by token.
_RECURRENT = (
    *("mamba", "mamba2", "rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7", "jamba", "falcon-h1"),
    *("plamo2", "granitehybrid", "lfm2", "lfm2moe", "nemotron_h", "nemotron_h_moe"),
    *("qwen3next", "qwen35", "qwen35moe", "kimi-linear"),
)
_RECURRENT_KEYS = ("ssm.", "wkv.", "shortconv.", "kda.")
_CHOOSE = "choose a model that writes text token by token"


def check_header(header: Header) -> None:
    """Refuse a file that is no language model's.

    No chat template is not refused: prompts are plain transcripts then, as with any model.

    Raises:
        ModelError: With the rule that it breaks.
    """
    path, values = str(header.path), header.values
    architecture = str(values.get("general.architecture"))
    kind = "mmproj" if architecture == "clip" else values.get("general.type")
    if kind in _OTHER_TYPES:
        _refuse(path, "a model", *_OTHER_TYPES[kind])
    if architecture not in package().MODEL_ARCH_NAMES.values():
        _refuse(
            path,
            "a model of a known architecture",
            f"one of architecture {architecture!r}",
            "update the gguf package and llama-cpp-python, or choose another model",
        )
    pooled = values.get(f"{architecture}.pooling_type") in _POOLED
    if pooled or "bert" in architecture or architecture in _EMBEDDERS:
        _refuse(path, "a language model", f"an embedding model ({architecture})", _CHOOSE)
    causal = values.get(f"{architecture}.attention.causal", True)
    if architecture in _NO_WRITERS or not causal:
        _refuse(path, "a causal language model", f"one of architecture {architecture!r}", _CHOOSE)
    recurrent = tuple(f"{architecture}.{key}" for key in _RECURRENT_KEYS)
    if architecture in _RECURRENT or any(key.startswith(recurrent) for key in values):
        _refuse(
            path,
            "a model that attends to all earlier tokens",
            f"a recurrent or hybrid one ({architecture}), which cannot go back to an earlier token",
            "choose another model",
        )


def check_shards(headers: Sequence[Header]) -> None:
    """Refuse files that end before their tensors do, and models of which files are missing.

    Raises:
        ModelError: With the file that is cut off, or how many there must be.
    """
    needed = headers[0].values.get("split.count") or 1
    if needed != len(headers):
        raise ModelError(
            f"a model in several files must have all of them, got {len(headers)} of {needed} for "
            f"{str(headers[0].path)!r}; put the others beside it, under the names that they had"
        )
    for header in headers:
        last = max(header.tensors.values(), key=lambda tensor: tensor.end, default=None)
        if last is not None and last.end > header.size:
            raise ModelError(
                f"a GGUF file must hold its tensors whole, got {str(header.path)!r} of "
                f"{header.size} bytes, of which {last.name!r} needs {last.end}; download it again"
            )


def check_tensors(tensors: Mapping[str, Tensor], width: int) -> None:
    """Refuse a model without the weights of a language model's head, or with others.

    Raises:
        ModelError: If there are none, or they do not fit the metadata.
    """
    head = head_tensor(tensors)
    if head.shape[-1] != width or not prod(head.shape):
        raise ModelError(
            f"{head.name} must be as wide as the model's states ({width}), got shape "
            f"{head.shape}; convert the model again"
        )


def _refuse(path: str, rule: str, value: str, remedy: str) -> NoReturn:
    raise ModelError(f"a GGUF file must hold {rule}, got {path!r}, which holds {value}; {remedy}")
