"""A real model, where the environment names one, on each engine that can run it."""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from latent_agent import ChatLatentSeek
from latent_agent.model.gguf.find import is_gguf

MODEL = "LATENT_AGENT_REAL_MODEL"


@pytest.fixture(scope="session", autouse=True)
def _all_cores() -> Iterator[None]:
    """Other tests compute on one thread; a real model would take twice as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The model's file or folder."""
    if not os.environ.get(MODEL):
        pytest.skip(f"set {MODEL} to a model's file or folder")
    return Path(os.environ[MODEL])


@pytest.fixture(scope="session")
def needs_transformers(real_model: Path) -> None:
    """Skip where transformers cannot run it; a GGUF file is unpacked there."""


@pytest.fixture(scope="session")
def needs_llama_cpp(real_model: Path) -> None:
    """Skip where llama.cpp cannot run it."""
    if find_spec("llama_cpp") is None:
        pytest.skip('needs llama.cpp: pip install "latent-agent[llama-cpp]"')
    if not is_gguf(str(real_model)):
        pytest.skip(f"llama.cpp needs a GGUF file, {MODEL} names {str(real_model)!r}")


@pytest.fixture(scope="session", params=["transformers", "llama.cpp"])
def real_engine(real_model: Path, request: pytest.FixtureRequest) -> dict[str, Any]:
    """The model and the engine, as arguments of a chat model."""
    request.getfixturevalue(f"needs_{request.param.replace('.', '_')}")
    return {"model": str(real_model), "engine": request.param}


@pytest.fixture(scope="session")
def real_chat(real_engine: dict[str, Any]) -> Iterator[ChatLatentSeek]:
    """Drafts alone: what is measured is the form of the answers, not the search."""
    chat = ChatLatentSeek(**real_engine, memory=None, max_iterations=0, max_tokens=256)
    yield chat
    chat.close()
