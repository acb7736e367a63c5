"""One server for all tests of a process, on the bundled model; the tests may talk to it."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.support.served import Served, served


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let these tests reach this machine, and no other."""
    for item in items:
        if "tests/server/" in item.path.as_posix():
            item.add_marker(pytest.mark.allow_hosts(["127.0.0.1", "::1"]))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server without keys, with a memory."""
    folder: Path = tmp_path_factory.mktemp("server")
    with served(memory=folder / "memory.sqlite3") as running:
        yield running


@pytest.fixture
def client(server: Served) -> Iterator[openai.OpenAI]:
    """OpenAI's client."""
    with openai.OpenAI(base_url=server.base, api_key="none", max_retries=0) as opened:
        yield opened
