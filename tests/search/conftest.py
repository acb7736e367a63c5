"""The bundled model in each engine, and as the plain methods read it."""

from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from latent_agent.model.options import LoadOptions
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.teaching import model_path


@pytest.fixture(params=["transformers", "llama.cpp"])
def shared(request: pytest.FixtureRequest) -> SharedModel:
    """The bundled model in each engine."""
    if request.param == "transformers":
        return open_model("bundled")
    pytest.importorskip("llama_cpp")
    return open_model(request.getfixturevalue("bundled_gguf"), None, LoadOptions(threads=1))


@pytest.fixture(scope="module")
def plain_model() -> tuple[Any, Any]:
    """The bundled model and its tokenizer, as transformers loads them."""
    model = AutoModelForCausalLM.from_pretrained(model_path(), dtype="float32")
    return model, AutoTokenizer.from_pretrained(model_path())
