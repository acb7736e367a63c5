"""The server that these tests are about, and a memory on it."""

from collections.abc import Iterator

import pytest

from latent_memory import LatentMemory
from tests.support.servers import Server, fresh_name


@pytest.fixture
def server(database_server: Server) -> Server:
    return database_server


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    name = fresh_name()
    yield server.schema(name)
    server.drop(name)


@pytest.fixture
def memory(url: str) -> Iterator[LatentMemory]:
    with LatentMemory(url) as memory:
        yield memory
