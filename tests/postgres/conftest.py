"""The server that these tests are about."""

import pytest

from tests.support.servers import Server


@pytest.fixture
def server(database_server: Server) -> Server:
    return database_server
