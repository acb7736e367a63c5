"""How a model is opened: data type, arguments of from_pretrained, code that a model brings."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers.utils import logging

from latent_agent import ChatLatentSeek
from latent_agent.errors import ModelError
from latent_agent.model.load_watch import watching_loads
from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.model.transformers_engine import precision
from latent_agent.model.transformers_engine.precision import chosen_dtype, multiplies_bfloat16
from tests.support.engines import transformers_engine
from tests.support.tiny import tiny_model, tiny_tokenizer

OWN_CODE = """
from transformers import LlamaConfig, LlamaForCausalLM

class OwnConfig(LlamaConfig):
    model_type = "own"

class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint in bfloat16."""
    place = tmp_path / "tiny"
    tiny_model(dtype=torch.bfloat16).save_pretrained(place)
    tiny_tokenizer().save_pretrained(place)
    return place


def opened(model: str | Path, **given: Any) -> SharedModel:
    return open_model(model, None, LoadOptions(**given))


def loaded(model: str | Path, **given: Any) -> Any:
    return transformers_engine(opened(model, **given)).model


def has_flags(monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    monkeypatch.setattr(precision, "multiplies_bfloat16", lambda: there)


@pytest.mark.parametrize(
    ("asked", "checkpoint", "device", "flags", "chosen"),
    [
        (None, "float32", "cpu", True, "float32"),
        (None, None, "cpu", True, "float32"),
        (None, "bfloat16", "cpu", True, "bfloat16"),
        (None, "float16", "cpu", True, "bfloat16"),
        (None, "bfloat16", "cpu", False, "float32"),
        (None, "float16", "cuda:1", False, "float16"),
        (None, None, "cuda", False, "float32"),
        ("auto", "float16", "cpu", False, "float16"),
        ("float32", "bfloat16", "cpu", True, "float32"),
    ],
)
def test_the_data_type_hangs_on_checkpoint_device_and_flags(
    monkeypatch: pytest.MonkeyPatch,
    asked: str | None,
    checkpoint: str | None,
    device: str,
    flags: bool,
    chosen: str,
) -> None:
    has_flags(monkeypatch, flags)
    assert chosen_dtype(asked, checkpoint, device) == chosen


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("flags\t\t: fpu avx512f avx512_bf16 sse\n", True),
        ("flags\t\t: fpu amx_bf16\n", True),
        ("Features\t: fp asimd bf16 i8mm\n", True),
        ("flags\t\t: fpu avx512f\nmodel name: bf16\n", False),
        ("", False),
        (None, False),
    ],
)
def test_the_processors_flags_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, there: bool
) -> None:
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text, "utf-8")
    monkeypatch.setattr(precision, "_PROCESSOR", file)
    assert multiplies_bfloat16.__wrapped__() is there


@pytest.mark.parametrize("flags", [True, False])
def test_half_precision_runs_as_the_machine_can(
    folder: Path, monkeypatch: pytest.MonkeyPatch, flags: bool
) -> None:
    has_flags(monkeypatch, flags)
    assert loaded(folder).dtype == (torch.bfloat16 if flags else torch.float32)


def test_the_data_type_is_part_of_the_fingerprint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_flags(monkeypatch, True)
    usual, exact = opened(folder).fingerprint(), opened(folder, dtype="float32").fingerprint()
    assert len({usual, exact, opened(folder, dtype="float16").fingerprint()}) == 3
    has_flags(monkeypatch, False)
    assert opened(folder, n_ctx=None, threads=1).fingerprint() == exact


def test_float32_leaves_the_fingerprint_as_it_was() -> None:
    assert opened("bundled").fingerprint() == opened("bundled", dtype="float32").fingerprint()
    assert opened("bundled").precision == "float32"


def test_arguments_reach_the_model(folder: Path) -> None:
    given = {"attn_implementation": "eager", "dtype": torch.float16, "device_map": "cpu"}
    model = loaded(folder, model_kwargs=given)
    assert (model.config._attn_implementation, model.dtype) == ("eager", torch.float16)
    assert opened(folder, model_kwargs=given) is not opened(folder)


@pytest.mark.parametrize(
    "given",
    [
        {"model_kwargs": {"abacus": 1}},
        {"model_kwargs": {"attn_implementation": "abacus"}},
        {"model_kwargs": {"quantization_config": 3}},
        {"model_kwargs": {"quantization_config": {"quant_method": "abacus"}}},
        {"model_kwargs": {"dtype": "float16"}, "dtype": "float32"},
        {"model_kwargs": {"dtype": "float16", "torch_dtype": "float32"}},
        {"model_kwargs": {"device_map": "cpu"}, "device": "cpu"},
        {"model_kwargs": {"use_safetensors": False}},
        {"dtype": "float8_e4m3fn"},
        {"dtype": "int32"},
        {"device": "abacus"},
        {"n_ctx": 5},
        {"engine": "llama.cpp"},
        {"engine": "abacus"},
        {"threads": 4096},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_with_a_remedy(folder: Path, given: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match=r"(?s)must|takes|runs") as caught:
        opened(folder, **given).engine()
    rule, _, remedy = str(caught.value).partition("; ")
    assert "got" in rule or "failed" in rule
    assert remedy


def test_a_quantisation_at_load_time_is_another_model(folder: Path) -> None:
    eight, four = (
        opened(folder, model_kwargs={"quantization_config": {"quant_method": "x", "bits": bits}})
        for bits in (8, 4)
    )
    assert len({opened(folder).fingerprint(), eight.fingerprint(), four.fingerprint()}) == 3
    assert eight.precision.endswith(", quantised")


def test_more_threads_than_cores_are_refused_with_the_number_of_cores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    assert LoadOptions(threads=3).threads == 3
    with pytest.raises(ModelError, match=r"threads must be .* got 4; give 3 or fewer"):
        ChatLatentSeek(model="bundled", memory=None, threads=4)


def test_a_hub_id_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match=r"got 'nobody/nothing', .*hf download nobody/nothing"):
        opened("nobody/nothing").engine()


@pytest.fixture
def own_code(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model whose classes lie beside its weights."""
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "hf"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["model_type"], config["architectures"] = "own", ["OwnForCausalLM"]
    config["auto_map"] = {
        "AutoConfig": "own.OwnConfig",
        "AutoModelForCausalLM": "own.OwnForCausalLM",
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    (folder / "own.py").write_text(OWN_CODE, "utf-8")
    return folder


def test_code_that_a_model_brings_is_run_only_if_it_is_trusted(own_code: Path) -> None:
    for kwargs in ({}, {"trust_remote_code": False}):
        with pytest.raises(ModelError, match=r"must be trusted first, got .*trust_remote_code': T"):
            opened(own_code, model_kwargs=kwargs).engine()
    model = loaded(own_code, model_kwargs={"trust_remote_code": True})
    assert type(model).__name__ == "OwnForCausalLM"


def test_loading_shows_nothing_and_leaves_the_bars_as_they_were(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for shown in (True, False):
        (logging.enable_progress_bar if shown else logging.disable_progress_bar)()
        try:
            opened(folder, dtype="float32").engine()
            assert logging.is_progress_bar_enabled() is shown
        finally:
            logging.enable_progress_bar()
    assert capfd.readouterr() == ("", "")


def test_a_watch_is_told_of_each_load_once(folder: Path) -> None:
    told: list[tuple[str, str]] = []

    class Watch:
        def __init__(self, *what: str) -> None:
            told.append(what)  # type: ignore[arg-type]

        def __enter__(self) -> None: ...

        def __exit__(self, *_: object) -> None: ...

    with watching_loads(Watch):  # type: ignore[arg-type]
        shared = opened(folder, dtype="float16")
        shared.engine()
        shared.engine()
    assert told == [(str(folder), "0 MB, float16")]
