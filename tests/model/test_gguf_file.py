"""What a GGUF file says of its model, on the bundled model's export."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from dev.bundled_model.export_gguf import export
from latent_agent.errors import ModelError
from latent_agent.model.conversation import Turn
from latent_agent.model.gguf.file import GgufFile
from latent_agent.model.places import bundled_path
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel
from tests.support.gguf_files import shape, small_tensors, vocabulary, write_gguf

QUESTION = "Tom has 12 apples and gives 5 to Ann. How many apples are left?"


def test_it_says_what_the_folder_says(bundled_gguf: Path, bundled: SharedModel) -> None:
    file = GgufFile(bundled_gguf)
    file.check()
    assert (file.architecture, file.quantisation) == ("llama", "F32")
    assert file.name == "latent-agent bundled model"
    assert file.context_length == bundled.context_window
    assert (file.vocabulary, file.width) == (bundled.vocabulary, bundled.width)
    assert file.block_count == 5
    assert file.judge_prompts == bundled.judge_prompts
    config = json.loads((bundled_path() / "generation_config.json").read_text())
    assert file.stop_ids == set(config["eos_token_id"])
    assert file.size == bundled_gguf.stat().st_size


def test_llama_cpp_gives_the_bundled_models_logits_and_latents(
    bundled_gguf: Path, bundled: SharedModel
) -> None:
    from tests.support.llama_cpp_reads import forward

    ids = encode_chat(bundled.tokenizer, [Turn("user", QUESTION)])
    logits, latents = forward(bundled_gguf, ids)
    model: Any = AutoModelForCausalLM.from_pretrained(bundled_path(), dtype=torch.float32)
    with torch.no_grad():
        theirs = model(torch.tensor([ids]), output_hidden_states=True)
    assert np.abs(logits - theirs.logits[0].numpy()).max() < 1e-4
    assert np.abs(latents - theirs.hidden_states[-1][0].numpy()).max() < 1e-4


def test_llama_cpp_stops_where_the_file_says(bundled_gguf: Path) -> None:
    from tests.support.llama_cpp_reads import Vocabulary

    with Vocabulary(bundled_gguf) as theirs:
        assert theirs.stops == GgufFile(bundled_gguf).stop_ids


@pytest.mark.parametrize(
    ("texts", "named", "stops"),
    [
        (("a", "</s>"), {}, {"</s>"}),
        (("a", "b", "<|eot_id|>", "<|eom_id|>"), {"eos": 0}, {"a", "<|eot_id|>", "<|eom_id|>"}),
        (("a", "b", "c"), {"eos": 0, "eot": 1, "eom": 2}, {"a", "b", "c"}),
        (("a", "<|end|>", "<|return|>", "<|call|>"), {"eos": 2}, {"<|return|>", "<|call|>"}),
        (("a", "<|end|>", "<|return|>"), {"eos": 2}, {"<|return|>", "<|end|>"}),
        (("a", "</s>", "<|tool_response>", "<eos>"), {"eos": 3}, {"<|tool_response>", "<eos>"}),
        (("a", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"), {"eos": 0},
         {"a", "<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"}),
        (("a", "b", "<|fim_pad|>"), {"eos": 0, "fim_pad": 1}, {"a", "b"}),
        (("a", "b", "<|im_end|>"), {"eos": 77}, {"<|im_end|>"}),
    ],
)  # fmt: skip
def test_stops_are_found_by_name_and_by_text(
    tmp_path: Path, texts: tuple[str, ...], named: dict[str, int], stops: set[str]
) -> None:
    from tests.support.llama_cpp_reads import Vocabulary

    more = {f"{name}_token_id": id_ for name, id_ in named.items()}
    metadata = vocabulary("gpt2", texts, {}, pre="gpt-2", merges=["a a"], **more)
    file = GgufFile(write_gguf(tmp_path / "m.gguf", metadata=metadata))
    assert {texts[id_] for id_ in file.stop_ids} == stops
    with Vocabulary(file.path) as theirs:
        assert theirs.stops == file.stop_ids


def test_the_hash_is_of_the_content_alone(tmp_path: Path, home: Path) -> None:
    one, other = tmp_path / "one.gguf", tmp_path / "renamed.gguf"
    one.write_bytes(b"GGUF and so on")
    other.write_bytes(b"GGUF and so on")
    expected = hashlib.sha256(b"GGUF and so on").hexdigest()
    assert GgufFile(one).weights_hash == GgufFile(other).weights_hash == expected
    assert GgufFile(one, other).weights_hash == hashlib.sha256(2 * one.read_bytes()).hexdigest()
    assert len(list((home / ".cache" / "latent-agent" / "weights").iterdir())) == 3
    other.write_bytes(b"GGUF and so off")
    assert GgufFile(other).weights_hash == hashlib.sha256(b"GGUF and so off").hexdigest()


def test_two_exports_are_the_same_file(bundled_gguf: Path, tmp_path: Path) -> None:
    export(bundled_path(), tmp_path / "again.gguf")
    assert (tmp_path / "again.gguf").read_bytes() == bundled_gguf.read_bytes()


def test_tensors_of_all_files_are_one_models(tmp_path: Path) -> None:
    tensors = dict(small_tensors(8))
    last = {name: tensors.pop(name) for name in ("token_embd.weight", "output_norm.weight")}
    names = [tmp_path / f"m-0000{number}-of-00002.gguf" for number in (1, 2)]
    write_gguf(names[0], metadata={**shape(), "split.count": 2}, tensors=tensors)
    write_gguf(names[1], metadata={"split.count": 2}, tensors=last)
    file = GgufFile(*names)
    file.check()
    assert set(file.tensors) == set(small_tensors(8))
    assert file.vocabulary == 8
    assert torch.equal(file.head().weight, torch.from_numpy(last["token_embd.weight"]))
    assert file.size == sum(path.stat().st_size for path in names)
    names[1].write_bytes(names[1].read_bytes()[:-1])
    with pytest.raises(ModelError, match=rf"whole, got '{names[1]}'"):
        GgufFile(*names).check()


@pytest.mark.parametrize("content", ["[1, 2]", "{", json.dumps("text")])
def test_judge_prompts_that_are_no_object_are_told(tmp_path: Path, content: str) -> None:
    path = write_gguf(tmp_path / "m.gguf", metadata={"latent_agent.judge": content})
    with pytest.raises(ModelError, match=r"latent_agent.judge must be one JSON object, .*; write"):
        _ = GgufFile(path).judge_prompts


def test_a_file_that_says_little_is_read_too(tmp_path: Path) -> None:
    file = GgufFile(write_gguf(tmp_path / "little.gguf", "qwen2"))
    assert (file.name, file.quantisation) == ("little", "unknown")
    assert file.context_length is file.judge_prompts is file.chat_template is None
    path = write_gguf(tmp_path / "k.gguf", metadata={"general.file_type": 15})
    assert GgufFile(path).quantisation == "Q4_K_M"


def test_large_packages_are_imported_only_when_needed() -> None:
    names = ("torch", "transformers", "gguf", "llama_cpp", "huggingface_hub")
    code = f"import sys, latent_agent.model.gguf.find; print({set(names)} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
