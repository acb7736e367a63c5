"""Many questions at once give the answers of one by one, and leave their traces."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate

from latent_agent import ChatLatentSeek
from latent_agent.backbone import Backbone
from latent_agent.concurrency import CALLS
from latent_agent.teaching import questions
from latent_memory import LatentMemory
from tests.memories import opened

pytestmark = pytest.mark.timeout(600)
TEXTS = [question.text for question in questions("test", n=CALLS, seed=23)]
SETTINGS: dict[str, Any] = {
    "model": "bundled",
    "dtype": "float32",
    "memory_mode": "write",  # recall depends on what was asked before
    "max_iterations": 2,
    "archive": -1.0,
    "max_tokens": 40,
}


def told(message: AIMessage) -> dict[str, Any]:
    """All that a call tells of itself, but for the trace's id."""
    found = {**message.response_metadata["latent_agent"], "text": message.text}
    return {name: value for name, value in found.items() if name != "trace_id"}


def chat_with(folder: Path) -> ChatLatentSeek:
    return ChatLatentSeek(memory=str(folder / "memory.sqlite3"), **SETTINGS)


@pytest.fixture(scope="module")
def one_by_one() -> list[dict[str, Any]]:
    chat = ChatLatentSeek(memory=None, **SETTINGS)
    return [told(chat.invoke(text)) for text in TEXTS]
