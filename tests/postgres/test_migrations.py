"""The schema on a server: made, and migrated from every revision with rows in it."""

import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text

import latent_migrations
from latent_memory import LatentMemory, SchemaError, migrate
from latent_memory.database import Database
from latent_memory.schema import address_of
from latent_memory.store import DEFAULT_INDEX
from latent_memory.tables import metadata
from tests.migrations.test_migrations import REVISIONS, ROWS
from tests.support.memories import SHELF, in_namespace, recalled, trace, vector
from tests.support.servers import Place, Server, schemas_of

import_module("pgvector.sqlalchemy")  # lets SQLAlchemy know its types


class Spoken:
    """A connection that understands bytes as SQLite writes them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def execute(self, statement: Any) -> Any:
        spoken = re.sub(r"x'([0-9a-f]*)'", r"'\\x\1'", str(statement))
        return self._connection.execute(text(spoken))

    def scalar(self, statement: Any) -> Any:
        return self._connection.scalar(statement)


@pytest.fixture
def place(server: Server) -> Iterator[Place]:
    yield from schemas_of(server)


def database_at(url: Any, revision: str) -> Database:
    """Make a database as a program of that revision would have left it, with rows."""
    address = address_of(url)
    address.make()
    database = address.open(readonly=False)
    with database.write() as connection:
        latent_migrations.upgrade(connection, revision)
        address.mark(connection)
        ROWS[revision][0](Spoken(connection))  # pyright: ignore[reportArgumentType]
        highest = {"shelves": 1, "traces": 4, "deletions": 7, "erasures": 1, "feedback": 9}
        database.set_highest_ids(connection, highest)
    return database


def schema_of(database: Database) -> list[Any]:
    with database.read() as connection:
        here = latent_migrations.schema_of(connection)
        looked = inspect(connection)
        tables = sorted(looked.get_table_names(here))
        columns = [
            (table, column["name"], str(column["type"]), column["nullable"])
            for table in tables
            for column in looked.get_columns(table, here)
        ]
        indexes = [looked.get_indexes(table, here) for table in tables]
    return [columns, [sorted(str(one["column_names"]) for one in some) for some in indexes]]


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_come_through_from_every_revision(place: Place, revision: str) -> None:
    url = place("m")
    database = database_at(url, revision)
    done = migrate(url)
    assert (done.current, done.head, done.backup) == (revision, REVISIONS[-1], None)
    assert list(done.pending) == REVISIONS[REVISIONS.index(revision) + 1 :]
    with database.read() as connection:
        ROWS[revision][1](Spoken(connection))  # pyright: ignore[reportArgumentType]
        assert database.faults(connection) == []
    with LatentMemory(place("new")) as new, LatentMemory(url) as memory:
        assert schema_of(memory.database) == schema_of(new.database)
        assert new.add(trace(1)) == 1
        shelf = in_namespace("another")
        assert memory.add(trace(1, shelf=shelf)) == 5  # 4 is in use
        assert recalled(memory, vector(1), shelf) == [5]
        old = memory.database.indexes(DEFAULT_INDEX).of(SHELF)  # the first write brought them up
        left = [info.id for info in memory.list(shelf=SHELF)]  # some revisions had limits
        assert left in ([4, 1], [])
        assert [id_ for id_, _ in old.search(np.array([1, 0], np.float32), 5)] == left
    database.close()


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_a_database_that_is_behind_says_what_to_run(place: Place, revision: str) -> None:
    url = place("m")
    database_at(url, revision).close()
    for mode in ("read-write", "read", "write"):
        with pytest.raises(SchemaError, match=r"run: latent-agent migrate --memory .postgresql"):
            LatentMemory(url, mode=mode)


def test_migrations_lead_to_the_tables_that_the_program_uses(place: Place) -> None:
    with LatentMemory(place("m")) as memory, memory.database.read() as connection:
        found = compare_metadata(MigrationContext.configure(connection), metadata)
    ours = [one for one in found if "vectors" not in str(one) and "centres" not in str(one)]
    assert [one for one in ours if "files" not in str(one)] == []


def test_a_migration_that_fails_leaves_the_old_schema(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = place("m")
    database = database_at(url, "0001")
    before = schema_of(database)

    def break_off(*_: object) -> None:
        raise ValueError("in the middle")

    monkeypatch.setattr("alembic.operations.Operations.add_column", break_off)
    with pytest.raises(ValueError, match="in the middle"):
        migrate(url)
    assert schema_of(database) == before
    with database.read() as connection:
        assert latent_migrations.current(connection) == "0001"
    database.close()
