"""Small GGUF files, written as llama.cpp's own converter writes them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
D = 32  # width of `small_tensors`
SHAPE = {
    "context_length": 64,
    "embedding_length": D,
    "block_count": 1,
    "feed_forward_length": 64,
    "attention.head_count": 2,
    "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "attention.layer_norm_epsilon": 1e-5,
}


def write_gguf(
    path: Path,
    architecture: str = "llama",
    metadata: Mapping[str, Any] | None = None,
    tensors: Mapping[str, np.ndarray] | None = None,
    kinds: Mapping[str, gguf.GGMLQuantizationType] | None = None,
) -> Path:
    """Write a file.

    Args:
        path: The file.
        architecture: As llama.cpp calls it.
        metadata: By key; ``{arch}`` in a key is the architecture. Lists become arrays.
        tensors: Plain or already packed, by name.
        kinds: How packed ones are.
    """
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in (metadata or {}).items():
        _add(writer, key.format(arch=architecture), value)
    for name, tensor in (tensors or {}).items():
        writer.add_tensor(name, tensor, raw_dtype=(kinds or {}).get(name))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def shape(**more: Any) -> dict[str, Any]:
    """The metadata that `small_tensors` fit."""
    return {f"{{arch}}.{key}": value for key, value in {**SHAPE, **more}.items()}


@cache
def small_tensors(vocabulary: int) -> Mapping[str, np.ndarray]:
    """One random block, embeddings that are the head too, and the norm before it."""
    draw = np.random.default_rng(0)

    def matrix(*size: int) -> np.ndarray:
        return draw.normal(0, 0.3, size).astype(np.float32)

    ones = np.ones(D, np.float32)
    attention = {f"blk.0.attn_{name}.weight": matrix(D, D) for name in ("q", "k", "v", "output")}
    return {
        "token_embd.weight": matrix(vocabulary, D),
        "output_norm.weight": ones,
        "blk.0.attn_norm.weight": ones,
        **attention,
        "blk.0.ffn_norm.weight": ones,
        "blk.0.ffn_gate.weight": matrix(64, D),
        "blk.0.ffn_up.weight": matrix(64, D),
        "blk.0.ffn_down.weight": matrix(D, 64),
    }


def vocabulary(
    model: str,
    texts: Sequence[str],
    special: Mapping[str, int],
    **more: Any,
) -> dict[str, Any]:
    """The metadata of a tokenizer.

    Args:
        model: ``gpt2`` or ``llama``.
        texts: Of all tokens.
        special: Types other than normal, by text.
        more: Further keys under ``tokenizer.ggml``.
    """
    types = [special.get(text, NORMAL) for text in texts]
    ggml = {"model": model, "tokens": list(texts), "token_type": types, **more}
    return {f"tokenizer.ggml.{key}": value for key, value in ggml.items()}


def byte_level(lines: Iterable[str], pre: str, size: int = 1500) -> dict[str, Any]:
    """A byte-level vocabulary whose merges know no words, so that only its rule cuts texts."""
    from tokenizers import pre_tokenizers

    words = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids, merges = _trained(lines, words, alphabet, size)
    special = {"<|im_start|>": CONTROL, "<|im_end|>": CONTROL, "<think>": USER_DEFINED}
    texts = [*ids, *special]
    return vocabulary(
        "gpt2", texts, special, pre=pre, merges=[" ".join(pair) for pair in merges],
        eos_token_id=texts.index("<|im_end|>"), bos_token_id=texts.index("<|im_start|>"),
        add_bos_token=False,
    )  # fmt: skip


def sentencepiece(lines: Iterable[str], size: int = 600, **more: Any) -> dict[str, Any]:
    """A SentencePiece vocabulary with bytes to fall back on."""
    from tokenizers import pre_tokenizers

    spaced = [line.replace(" ", "\u2581") for line in lines]
    ids, _ = _trained(spaced, pre_tokenizers.Split("\u2581", "merged_with_next"), [], size)
    characters = [text for text in ids if len(text) == 1]
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    texts = [*first, "<start>", "<b>", *(text for text in ids if len(text) > 1), *characters]
    special = {"<unk>": UNKNOWN, "<s>": CONTROL, "</s>": CONTROL, "<start>": CONTROL}
    special |= {"<b>": USER_DEFINED} | dict.fromkeys(first[3:], BYTE)
    scores = [0.0 if text in special else float(-id_) for id_, text in enumerate(texts)]
    return vocabulary("llama", texts, special, scores=scores, **more)


def _trained(
    lines: Iterable[str], words: Any, alphabet: list[str], size: int
) -> tuple[list[str], list[tuple[str, str]]]:
    from tokenizers import Tokenizer, models, trainers

    tokenizer: Any = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = words
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    found = json.loads(tokenizer.to_str())["model"]
    ids: dict[str, int] = found["vocab"]
    return sorted(ids, key=lambda text: ids[text]), [tuple(pair) for pair in found["merges"]]
