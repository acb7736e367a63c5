"""A GGUF file that transformers runs."""

import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("accelerate")
pytest.importorskip("gguf")

from latent_agent.errors import ModelError
from latent_agent.model.conversation import Turn
from latent_agent.model.llama_engine import library
from latent_agent.model.options import LoadOptions
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.model.transformers_engine.gguf_source import UnpackedGguf
from tests.support.engines import transformers_engine


def unpacked(file: Path) -> SharedModel:
    return open_model(file, None, LoadOptions(engine="transformers"))


def test_it_is_the_model_that_the_folder_holds(bundled_gguf: Path) -> None:
    ours, theirs = unpacked(bundled_gguf), open_model("bundled")
    assert (ours.vocabulary, ours.width) == (theirs.vocabulary, theirs.width)
    assert ours.judge_prompts == theirs.judge_prompts
    prompts = [
        encode_chat(model.tokenizer, [Turn("user", "What is 2 + 2?")], ())
        for model in (ours, theirs)
    ]
    assert prompts[0] == prompts[1]
    ids = torch.tensor([prompts[0]])
    engines = [transformers_engine(model) for model in (ours, theirs)]
    made, wanted = (engine.model(input_ids=ids).logits for engine in engines)
    assert torch.allclose(made, wanted, atol=1e-4)
    assert engines[0].stop_ids >= engines[1].stop_ids
    assert ours.precision == "float32 from F32"
    assert ours.fingerprint() != theirs.fingerprint()


def test_it_is_taken_where_llama_cpp_is_not_installed(
    bundled_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "is_installed", lambda: False)
    shared = open_model(bundled_gguf)
    with pytest.warns(UserWarning, match=r"bundled\.gguf is unpacked .*pip install .*llama-cpp"):
        shared.engine()
    assert shared.fingerprint() == unpacked(bundled_gguf).fingerprint()


def test_without_accelerate_it_is_asked_for(
    bundled_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ModelError, match=r"got none for .*; pip install accelerate"):
        unpacked(bundled_gguf).engine()


def test_loading_shows_nothing(bundled_gguf: Path, capfd: pytest.CaptureFixture[str]) -> None:
    unpacked(bundled_gguf).engine()
    assert capfd.readouterr() == ("", "")


def test_it_is_not_quantised_again() -> None:
    options = LoadOptions(engine="transformers", model_kwargs={"quantization_config": {}})
    with pytest.raises(ModelError, match="quantised as it is, got quantization_config"):
        UnpackedGguf("a.gguf", None, options)
