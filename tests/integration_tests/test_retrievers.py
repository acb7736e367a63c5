"""LangChain's standard integration tests of a retriever, over a memory that was asked questions."""

from pathlib import Path
from typing import Any

import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests

from latent_agent import ChatLatentSeek, TraceRetriever
from latent_agent.teaching import questions

ASKED = [question.text for question in questions("test", n=5, seed=7)]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory's file, after five questions."""
    path = tmp_path_factory.mktemp("memory") / "memory.sqlite3"
    chat = ChatLatentSeek(model="bundled", memory=path, reward=lambda _q, _a: -0.1)
    for text in ASKED:
        assert chat.invoke(text).response_metadata["latent_agent"]["trace_id"] is not None
    return path


class TestTraceRetriever(RetrieversIntegrationTests):
    """On the bundled model, without a network."""

    @pytest.fixture(autouse=True)
    def _memory(self, asked: Path) -> None:
        self.path = asked

    @property
    def retriever_constructor(self) -> type[TraceRetriever]:
        return TraceRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"model": "bundled", "memory": self.path}

    @property
    def retriever_query_example(self) -> str:
        return ASKED[0]
