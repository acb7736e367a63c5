"""LangChain's standard integration tests of a chat model, on a real model and each engine."""

import os
from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import ChatModelIntegrationTests

from latent_agent import ChatLatentSeek
from tests.real.conftest import MODEL
from tests.real.known_failures import reason

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]


@pytest.fixture(autouse=True)
def _known(request: pytest.FixtureRequest, real_model: Path) -> None:
    """What a small model is known to fail at is expected; that it passes after all is no fault."""
    why = reason(real_model.stem, request.node.originalname)
    if why is not None:
        request.node.add_marker(pytest.mark.xfail(reason=why, strict=False))


class _Standard(ChatModelIntegrationTests):
    engine: str

    @property
    def chat_model_class(self) -> type[ChatLatentSeek]:
        return ChatLatentSeek

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {
            "model": os.environ[MODEL],
            "engine": self.engine,
            "memory": None,
            "max_tokens": 256,
            "max_iterations": 1,
        }

    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return os.environ[MODEL]


@pytest.mark.usefixtures("needs_transformers")
class TestTransformers(_Standard):
    """By transformers."""

    engine = "transformers"


@pytest.mark.usefixtures("needs_llama_cpp")
class TestLlamaCpp(_Standard):
    """By llama.cpp."""

    engine = "llama.cpp"
