"""The weights that a search needs beside the engine: the LM head, and rows of the embeddings.

They are unpacked with the gguf package, a piece at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from latent_agent.errors import ModelError
from latent_agent.model.gguf.header import Tensor, package

if TYPE_CHECKING:
    import torch

    from latent_agent.model.gguf.header import Header

_PIECE = 1 << 22  # numbers unpacked at a time
_PLAIN = ("F32", "F16", "BF16")
_DIVIDES = ("granite", "granitemoe", "granitehybrid", "minicpm")  # by their logit scale
_GEMMA_2_CAP = 30.0  # where a file does not say


@dataclass(frozen=True)
class HeadWeights:
    """What turns latents into logits: ``cap(scale * (weight @ latent + bias))``.

    Attributes:
        weight: (vocabulary, d).
        bias: (vocabulary,) of the same dtype, or None.
        scale: A number that the scores are multiplied by.
        soft_cap: c in ``c * tanh(score / c)``; None: no cap.
    """

    weight: "torch.Tensor"
    bias: "torch.Tensor | None"
    scale: float
    soft_cap: float | None


def head_tensor(tensors: Mapping[str, Tensor]) -> Tensor:
    """Return the LM head's weight: its own, or the token embeddings where both are one.

    Raises:
        ModelError: If there is neither.
    """
    for name in ("output.weight", "token_embd.weight"):
        if name in tensors and len(tensors[name].shape) == 2:
            return tensors[name]
    raise ModelError(
        f"a model must hold output.weight or token_embd.weight, got neither among {len(tensors)} "
        "tensors; choose a file that holds a whole language model"
    )


def read_head(
    header: "Header", tensors: Mapping[str, Tensor], dtype: "torch.dtype | None"
) -> HeadWeights:
    """Read the LM head.

    Args:
        header: Holds the metadata.
        tensors: All tensors of the model.
        dtype: Of the weight; None: float32 for a plain head, float16 for a quantised one. In
            float32 one of 152,000 words and d = 896 takes 544 MB, and a quantised weight is
            known to some eight bits at most.

    Raises:
        ModelError: If there is none, or its numbers cannot be unpacked.
    """
    import torch

    tensor = head_tensor(tensors)
    plain = package().GGMLQuantizationType(tensor.kind).name in _PLAIN
    weight = torch.empty(tensor.shape, dtype=dtype or (torch.float32 if plain else torch.float16))
    step = max(1, _PIECE // tensor.shape[1])
    for begin in range(0, tensor.shape[0], step):
        piece = _rows(tensor, begin, min(begin + step, tensor.shape[0]))
        weight[begin : begin + len(piece)] = torch.from_numpy(piece)
    bias = tensors.get("output.bias")
    scale, cap = _scores(header)
    return HeadWeights(
        weight,
        None if bias is None else _vector(bias).to(weight.dtype),
        scale,
        cap,
    )


def embedding_rows(tensors: Mapping[str, Tensor], ids: Sequence[int]) -> "torch.Tensor":
    """Return the embeddings of tokens, (len(ids), d) float32; no other row is unpacked.

    Raises:
        ModelError: If the model has no token embeddings, or no such id.
    """
    import torch

    tensor = tensors.get("token_embd.weight")
    rows = 0 if tensor is None else tensor.shape[0]
    wrong = [token for token in ids if not 0 <= token < rows]
    if tensor is None or wrong:
        raise ModelError(
            f"ids must lie in 0..{rows - 1}, the rows of token_embd.weight, got {wrong or ids!r}; "
            "take those of the model's own tokenizer"
        )
    found = [_rows(tensor, token, token + 1) for token in ids]
    return torch.from_numpy(np.concatenate(found or [np.empty((0, tensor.shape[1]), np.float32)]))


def _scores(header: "Header") -> tuple[float, float | None]:
    """Return what an architecture does to its head's scores: a factor, and a cap."""
    architecture: str = header.values.get("general.architecture", "")
    scale = header.values.get(f"{architecture}.logit_scale") or 1.0
    cap = header.values.get(f"{architecture}.final_logit_softcapping")
    if cap is None and architecture == "gemma2":
        cap = _GEMMA_2_CAP
    return 1.0 / scale if architecture in _DIVIDES else scale, cap or None


def _vector(tensor: Tensor) -> "torch.Tensor":
    import torch

    return torch.from_numpy(_unpacked(tensor, tensor.start, tensor.end))


def _rows(tensor: Tensor, begin: int, end: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    width = tensor.row_bytes
    flat = _unpacked(tensor, tensor.start + begin * width, tensor.start + end * width)
    return flat.reshape(end - begin, tensor.shape[1])


def _unpacked(tensor: Tensor, begin: int, end: int) -> "np.ndarray[Any, np.dtype[np.float32]]":
    """Unpack whole rows that lie between two bytes of the file; the result is writable."""
    packed = np.frombuffer(tensor.buffer[begin:end], np.uint8)
    rows = packed.reshape(-1, tensor.row_bytes)
    kind = package().GGMLQuantizationType(tensor.kind)
    try:
        found = package().quants.dequantize(rows, kind)
    except NotImplementedError as error:
        raise ModelError(
            f"a tensor must be of a type that the gguf package unpacks, got {kind.name} for "
            f"{tensor.name!r}; update it (pip install -U gguf), or choose another quantisation"
        ) from error
    return np.array(found, np.float32, copy=None if found.flags.writeable else True).ravel()
