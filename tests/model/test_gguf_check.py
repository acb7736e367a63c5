"""What cannot be searched is refused before weights are read, with a way on."""

from pathlib import Path
from typing import Any

import pytest

from latent_agent.errors import ModelError
from latent_agent.model.gguf.file import GgufFile
from tests.support.gguf_files import shape, small_tensors, write_gguf


def written(path: Path, architecture: str, **metadata: Any) -> GgufFile:
    given = {key.replace("__", "."): value for key, value in metadata.items()}
    return GgufFile(write_gguf(path, architecture, {**shape(), **given}, small_tensors(8)))


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "gemma3", "qwen3moe", "granite"])
def test_a_language_model_passes_also_without_a_chat_template(
    tmp_path: Path, architecture: str
) -> None:
    file = written(tmp_path / "m.gguf", architecture)
    file.check()
    assert file.chat_template is None


@pytest.mark.parametrize(
    ("architecture", "metadata", "match"),
    [
        ("llama", {"general__type": "adapter"}, r"LoRA adapter; merge it"),
        ("llama", {"general__type": "mmproj"}, r"vision projector; give the language model's"),
        ("clip", {}, r"vision projector; give the language model's"),
        ("llama", {"general__type": "imatrix"}, r"importance matrix; give the model's own file"),
        ("frobnicate", {}, r"known architecture, .*'frobnicate'; update the gguf package"),
        ("bert", {}, r"embedding model \(bert\); choose"),
        ("nomic-bert-moe", {}, r"embedding model"),
        ("gemma-embedding", {}, r"embedding model"),
        ("qwen3", {"qwen3__pooling_type": 3}, r"embedding model \(qwen3\); choose"),
        ("llama", {"llama__attention.causal": False}, r"causal language model, .*'llama'; choose"),
        ("t5", {}, r"causal language model, .*'t5'; choose"),
        ("dream", {}, r"causal language model, .*'dream'; choose"),
        ("mamba", {}, r"recurrent or hybrid one \(mamba\), .*; choose another"),
        ("qwen3next", {}, r"recurrent or hybrid"),
        ("lfm2", {}, r"recurrent or hybrid"),
        ("llama", {"llama__ssm.state_size": 16}, r"recurrent or hybrid one \(llama\)"),
        ("llama", {"llama__shortconv.l_cache": 3}, r"recurrent or hybrid one \(llama\)"),
    ],
)
def test_what_is_no_model_that_can_be_searched_is_refused(
    tmp_path: Path, architecture: str, metadata: dict[str, Any], match: str
) -> None:
    file = written(tmp_path / "m.gguf", architecture, **metadata)
    with pytest.raises(ModelError, match=match) as caught:
        file.check()
    assert str(tmp_path / "m.gguf") in str(caught.value)


def test_no_pooling_is_no_embedding_model(tmp_path: Path) -> None:
    written(tmp_path / "m.gguf", "qwen3", qwen3__pooling_type=0).check()


def test_a_file_that_ends_in_its_tensors_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    file = written(path, "llama")
    whole, last = path.read_bytes(), max(each.end for each in file.tensors.values())
    for end in (last - 1, min(each.start for each in file.tensors.values())):
        path.write_bytes(whole[:end])
        with pytest.raises(ModelError, match=rf"whole, got .* of {end} bytes, .* needs {last}; "):
            GgufFile(path).check()
    path.write_bytes(whole[:last])
    GgufFile(path).check()


def test_one_of_several_files_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path / "m-00001-of-00003.gguf", "llama", split__count=3)
    with pytest.raises(ModelError, match=r"all of them, got 1 of 3 .*; put the others beside it"):
        file.check()


def test_a_model_without_a_head_or_with_another_width_is_refused(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "vocabulary.gguf", "llama", shape())
    with pytest.raises(ModelError, match=r"output.weight or token_embd.weight, got neither.*; ch"):
        GgufFile(path).check()
    path = write_gguf(tmp_path / "w.gguf", "llama", shape(embedding_length=64), small_tensors(8))
    with pytest.raises(ModelError, match=r"as wide as .* \(64\), got shape \(8, 32\); convert"):
        GgufFile(path).check()
    path = write_gguf(tmp_path / "n.gguf", "llama", {}, small_tensors(8))
    with pytest.raises(ModelError, match=r"must name llama.embedding_length, got none.*; convert"):
        GgufFile(path).check()
