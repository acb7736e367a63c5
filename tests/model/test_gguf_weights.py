"""The LM head and embedding rows are those of the file, however it packs them."""

import tracemalloc
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as Kind

from latent_agent.errors import ModelError
from latent_agent.model.gguf.file import GgufFile
from tests.support.gguf_files import D, shape, small_tensors, vocabulary, write_gguf

PLAIN = (Kind.F32, Kind.F16, Kind.BF16)
QUANTISED = (Kind.Q8_0, Kind.Q4_0, Kind.Q5_1)
ROWS = 300
DRAWN = np.random.default_rng(1).normal(0, 1, (ROWS, D)).astype(np.float32)


def file_of(path: Path, kind: Kind, name: str = "token_embd.weight", **more: Any) -> GgufFile:
    packed = gguf.quants.quantize(DRAWN, kind)
    tensors = {name: packed, **more}
    return GgufFile(write_gguf(path, "llama", shape(), tensors, {name: kind}))


@pytest.mark.parametrize("kind", [*PLAIN, *QUANTISED])
def test_head_and_rows_are_what_the_gguf_package_unpacks(tmp_path: Path, kind: Kind) -> None:
    file = file_of(tmp_path / "m.gguf", kind)
    whole = torch.from_numpy(gguf.quants.dequantize(gguf.quants.quantize(DRAWN, kind), kind).copy())
    weight = file.head().weight
    assert weight.dtype == (torch.float32 if kind in PLAIN else torch.float16)
    assert torch.equal(weight, whole.to(weight.dtype))
    assert torch.equal(file.head(torch.bfloat16).weight, whole.bfloat16())
    ids = [7, ROWS - 1, 0, 7]
    assert torch.equal(file.embedding_rows(ids), whole[ids])
    assert file.embedding_rows([]).shape == (0, D)
    assert file.vocabulary == ROWS


def test_a_head_of_its_own_comes_before_the_embeddings(tmp_path: Path) -> None:
    bias = np.arange(ROWS, dtype=np.float32)
    more: dict[str, Any] = {"output.bias": bias, "token_embd.weight": np.zeros_like(DRAWN)}
    file = file_of(tmp_path / "m.gguf", Kind.F32, "output.weight", **more)
    head = file.head()
    assert torch.equal(head.weight, torch.from_numpy(DRAWN))
    assert head.bias is not None
    assert torch.equal(head.bias, torch.from_numpy(bias))
    half = file.head(torch.float16)
    assert half.bias is not None
    assert half.bias.dtype == half.weight.dtype == torch.float16
    assert torch.equal(file.embedding_rows([3]), torch.zeros(1, D))


@pytest.mark.parametrize("ids", [[ROWS], [0, -1]])
def test_ids_that_there_are_none_of_are_told(tmp_path: Path, ids: list[int]) -> None:
    file = file_of(tmp_path / "m.gguf", Kind.F32)
    with pytest.raises(ModelError, match=rf"must lie in 0..{ROWS - 1}, .*, got \[{ids[-1]}\]; "):
        file.embedding_rows(ids)
    file = file_of(tmp_path / "o.gguf", Kind.F32, "output.weight")
    with pytest.raises(ModelError, match=r"rows of token_embd.weight, got \[0\]; "):
        file.embedding_rows([0])


def test_a_head_is_unpacked_in_pieces(tmp_path: Path) -> None:
    packed = np.zeros((60_000, 512 // 32 * 34), np.uint8)
    path = tmp_path / "m.gguf"
    write_gguf(path, "llama", {}, {"output.weight": packed}, {"output.weight": Kind.Q8_0})
    file = GgufFile(path)
    file.head()  # imports are not counted
    tracemalloc.start()
    file.head()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # torch's own memory is not traced; unpacked at once, the weight would take 123 MB and more.
    assert peak < 80_000_000


@pytest.mark.parametrize(
    ("architecture", "metadata", "expected"),
    [
        ("llama", {}, (1.0, None)),
        ("command-r", {"{arch}.logit_scale": 0.25}, (0.25, None)),
        ("granite", {"{arch}.logit_scale": 4.0}, (0.25, None)),
        ("gemma2", {"{arch}.final_logit_softcapping": 20.0}, (1.0, 20.0)),
        ("gemma2", {}, (1.0, 30.0)),
        ("gemma3", {}, (1.0, None)),
        ("gemma3", {"{arch}.final_logit_softcapping": 0.0}, (1.0, None)),
    ],
)
def test_what_is_done_to_the_scores_is_read(
    tmp_path: Path, architecture: str, metadata: dict[str, Any], expected: tuple[float, Any]
) -> None:
    path = write_gguf(tmp_path / "m.gguf", architecture, metadata, small_tensors(8))
    head = GgufFile(path).head()
    assert (head.scale, head.soft_cap) == expected


SCALES = {"embedding_scale": 1.5, "residual_scale": 0.5, "attention.scale": 0.3}


def post_norms() -> dict[str, np.ndarray]:
    ones = np.ones(D, np.float32)
    return {f"blk.0.post_{part}_norm.weight": ones for part in ("attention", "ffw")}


@pytest.mark.parametrize(
    ("architecture", "more", "tensors"),
    [
        ("llama", {}, {}),
        ("granite", {"logit_scale": 4.0, **SCALES}, {}),
        ("minicpm", {"logit_scale": 4.0, **SCALES}, {}),
        ("command-r", {"logit_scale": 0.25}, {}),
        ("gemma2", {"final_logit_softcapping": 5.0, "attention.sliding_window": 32}, post_norms()),
    ],
)
def test_the_head_gives_llama_cpps_logits(
    tmp_path: Path, architecture: str, more: dict[str, Any], tensors: dict[str, np.ndarray]
) -> None:
    from tests.support.llama_cpp_reads import forward

    texts = [*(chr(33 + id_) for id_ in range(94)), "<|im_end|>"]
    metadata = {
        **shape(**more),
        **vocabulary("gpt2", texts, {"<|im_end|>": 3}, pre="gpt-2", merges=["! !"]),
        "tokenizer.ggml.eos_token_id": 94,
    }
    path = tmp_path / "m.gguf"
    kept = {**small_tensors(95), **tensors}
    if architecture == "command-r":
        del kept["blk.0.ffn_norm.weight"]
    write_gguf(path, architecture, metadata, kept)
    logits, latents = forward(path, [3, 17, 40, 8, 8])
    head = GgufFile(path).head()
    scores = torch.from_numpy(latents) @ head.weight.T * head.scale
    if head.soft_cap:
        scores = torch.tanh(scores / head.soft_cap) * head.soft_cap
    assert np.abs(logits).max() > 1
    assert torch.allclose(scores, torch.from_numpy(logits), atol=1e-4)
