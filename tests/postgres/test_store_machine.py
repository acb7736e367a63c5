"""The store against a plain dict, on a server, whose sessions are killed between two deeds."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from sqlalchemy import text

from latent_memory import LatentMemory
from tests.memory.test_store_machine import SETTINGS, StoreMachine
from tests.support.examples import examples
from tests.support.memories import contents
from tests.support.servers import Server, fresh_name

KILL = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND backend_type = 'client backend' AND query_start IS NOT NULL"
)


class ServerStoreMachine(StoreMachine):
    """A crash is the end of all sessions, in the middle of whatever they did."""

    server: ClassVar[Server]

    def new_place(self) -> str:
        self.schema = fresh_name()
        return self.server.schema(self.schema)

    delete_index: Any = None
    damage_index: Any = None

    def copied(self) -> Path:
        """Kill the sessions; nothing is copied."""
        with LatentMemory(self.memory.database.location) as other:
            sessions = other.database._engine.connect()  # pyright: ignore
            sessions.execute(KILL)
            sessions.close()
        return self.root

    def go_on_with(self, folder: Path) -> None:
        self.memory = LatentMemory(self.memory.database.location, index=SETTINGS)

    def left_behind(self) -> bytes:
        return contents(self.memory)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "memory"):
            self.memory.close()
            self.server.drop(self.schema)


@pytest.fixture(autouse=True)
def nothing_centred(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.require_own()  # all its sessions are killed
    monkeypatch.setattr("latent_memory.postgres.vectors.FROM", 10**9)
    monkeypatch.setattr(ServerStoreMachine, "server", server, raising=False)


@pytest.mark.timeout(600)
class TestServerStore(ServerStoreMachine.TestCase):
    settings = examples(10, stateful_step_count=20)
