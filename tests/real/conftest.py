"""A real model, where the environment names one."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from latent_agent import ChatLatentSeek

MODEL = "LATENT_AGENT_REAL_MODEL"


@pytest.fixture(scope="session")
def real_model() -> Path:
    """The model's file or folder."""
    if not os.environ.get(MODEL):
        pytest.skip(f"set {MODEL} to a model's file or folder")
    return Path(os.environ[MODEL])


@pytest.fixture(scope="session")
def real_chat(real_model: Path) -> Iterator[ChatLatentSeek]:
    """Drafts alone: what is measured is the form of the answers, not the search."""
    threads = torch.get_num_threads()
    torch.set_num_threads(os.cpu_count() or 1)
    dtype = {"dtype": "bfloat16"} if real_model.is_dir() else {}
    chat = ChatLatentSeek(model=real_model, memory=None, max_iterations=0, max_tokens=256, **dtype)
    yield chat
    chat.close()
    torch.set_num_threads(threads)
