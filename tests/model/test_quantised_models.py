"""Quantised models that cannot be searched are refused when they are loaded."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from latent_agent import ChatLatentSeek
from latent_agent.errors import ModelError
from latent_agent.model.places import bundled_path
from latent_agent.model.transformers_engine.engine import TransformersEngine
from tests.support.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.filterwarnings(
    "ignore:torch.ao.quantization is deprecated", "ignore:torch.quantize_per_tensor"
)


def quantised() -> Any:
    quantize: Any = torch.ao.quantization.quantize_dynamic  # pyright: ignore[reportDeprecated]
    return quantize(tiny_model(), {nn.Linear}, dtype=torch.qint8)


def test_an_int8_head_is_refused_when_the_model_is_loaded() -> None:
    chat = ChatLatentSeek(model=quantised(), tokenizer=tiny_tokenizer(), memory=None)
    with pytest.raises(ModelError, match=r"LM head must .* got .*qint8.*leave the head"):
        chat.invoke("apples")


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.float8_e4m3fn])
def test_a_head_whose_weight_is_packed_is_refused(dtype: torch.dtype) -> None:
    model: Any = tiny_model()
    model.lm_head.weight = nn.Parameter(model.lm_head.weight.to(dtype), requires_grad=False)
    with pytest.raises(ModelError, match=f"LM head must .* got .*{dtype}"):
        TransformersEngine(model, tiny_tokenizer())


def test_a_body_that_rounds_by_what_is_read_with_it_is_refused() -> None:
    model = quantised()
    model.lm_head = tiny_model().lm_head
    with pytest.raises(ModelError, match="quantisation is not supported yet"):
        TransformersEngine(model, tiny_tokenizer())


def test_quantised_weights_that_need_another_package_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(bundled_path(), folder)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    chat = ChatLatentSeek(model=str(folder), memory=None)
    with pytest.raises(ModelError, match="bitsandbytes"):
        chat.invoke("apples")
