"""The schema: made, recognised, migrated with rows in it, and never left in between."""

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

import latent_migrations
from latent_memory import LatentMemory, LocationError, SchemaError, migrate
from latent_memory.sqlite import FileAddress, SqliteDatabase, make_file
from latent_memory.tables import metadata
from tests.crash.migrating import REVISION, extended_migrations, migrate_copy
from tests.support.memories import Worker, recalled, trace, vector

REVISIONS = list(latent_migrations.revisions())


def fill_0001(connection: Connection) -> None:
    """Rows as the first version of the program wrote them, in its own words."""
    for statement in (
        "INSERT INTO shelves VALUES (1, 'default', 'model', 'checks', 2, 1, 'identity', 3)",
        "INSERT INTO traces VALUES (1, 1, 1700000000000000, -0.5, '[-0.5]', 1, 'threshold', '[]',"
        " NULL, 12345)",
        "INSERT INTO traces VALUES (4, 1, 1700000000000001, -0.5, '[-0.5]', 1, 'threshold', '[1]',"
        " '2', 12345)",
        "INSERT INTO latents VALUES (1, x'0102'), (4, x'0304')",
        "INSERT INTO embeddings VALUES (1, x'0000803f0000803f'), (4, x'0000803f00000000')",
        "INSERT INTO texts (trace, query, answer, tokens) VALUES"
        " (1, 'a question', 'an answer', '[5]'), (4, NULL, NULL, '[6]')",
        "INSERT INTO deletions (seq, trace, shelf, deleted) VALUES (7, 3, 1, 1700000000000002)",
    ):
        connection.execute(text(statement))


def check_0001(connection: Connection) -> None:
    counts = {"shelves": 1, "traces": 2, "latents": 2, "embeddings": 2, "texts": 2, "deletions": 1}
    for table, count in counts.items():
        assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == count
    found = connection.execute(text("SELECT id, neighbours, prior, checksum FROM traces")).all()
    assert found == [(1, "[]", None, 12345), (4, "[1]", "2", 12345)]
    assert connection.scalar(text("SELECT query FROM texts WHERE trace = 1")) == "a question"
    assert connection.scalar(text("SELECT vector FROM embeddings WHERE trace = 4")) == bytes(
        [0, 0, 0x80, 0x3F, 0, 0, 0, 0]
    )


def fill_0002(connection: Connection) -> None:
    fill_0001(connection)
    for statement in (
        "INSERT INTO nights VALUES (1, 1, 1700000000000003, 9.5, 0, 4, '{}', '[]', '{}',"
        " 'published', 'better')",
        "INSERT INTO priors VALUES (1, 1, 1, 1700000000000004, 'file', 'sum', 5, 1,"
        " 1700000000000005, NULL)",
        "INSERT INTO sources VALUES (1, 1, 1, 4, 7)",
    ):
        connection.execute(text(statement))


def check_0002(connection: Connection) -> None:
    check_0001(connection)
    assert connection.scalar(text("SELECT positions FROM priors WHERE published = 1")) == 5
    assert connection.scalar(text("SELECT verdict FROM nights")) == "published"


def fill_0003(connection: Connection) -> None:
    fill_0002(connection)
    for statement in (
        "INSERT INTO limits (id, capacity, hourly) VALUES (1, 1000, 60)",
        "INSERT INTO erasures VALUES (1, 1700000000000006, 1700000000000007, 'evicted', 5, 5)",
        "UPDATE deletions SET evicted = 1",
    ):
        connection.execute(text(statement))


def check_0003(connection: Connection) -> None:
    check_0002(connection)
    columns = "SELECT id, capacity, max_age, hourly FROM limits"
    assert connection.execute(text(columns)).all() == [(1, 1000, None, 60)]
    assert connection.scalar(text("SELECT traces FROM erasures")) == 5
    assert connection.scalar(text("SELECT evicted FROM deletions")) == 1


def fill_0004(connection: Connection) -> None:
    fill_0003(connection)
    connection.execute(text("UPDATE limits SET total = 5000"))


def check_0004(connection: Connection) -> None:
    check_0003(connection)
    assert connection.scalar(text("SELECT total FROM limits")) == 5000


def fill_0005(connection: Connection) -> None:
    fill_0004(connection)
    connection.execute(text("INSERT INTO admissions VALUES (1, 28333333, 59)"))


def check_0005(connection: Connection) -> None:
    check_0004(connection)
    assert connection.scalar(text("SELECT traces FROM admissions")) == 59


def fill_0006(connection: Connection) -> None:
    fill_0005(connection)
    connection.execute(text("UPDATE texts SET conversation = 'turns', settings = '{}'"))


def check_0006(connection: Connection) -> None:
    check_0005(connection)
    found = connection.execute(text("SELECT DISTINCT conversation, settings FROM texts")).all()
    assert found == [("turns", "{}")]


def fill_0007(connection: Connection) -> None:
    fill_0006(connection)
    for statement in (
        "INSERT INTO feedback VALUES (1, 1, 1700000000000008, 'user', 0.0, 'why', 'the answer')",
        "INSERT INTO ratings VALUES (1, 4, -1.0, 1, 1)",
        "INSERT INTO answers VALUES (1, 'run', 1700000000000009)",
    ):
        connection.execute(text(statement))


def check_0007(connection: Connection) -> None:
    check_0006(connection)
    assert connection.scalar(text("SELECT correction FROM feedback")) == "the answer"
    assert connection.scalar(text("SELECT rated FROM ratings WHERE unread = 1")) == 4


# What each revision's rows look like, and how they are known to have come through the next ones.
# A revision that changes rows gets checks of its own here.
ROWS: dict[str, tuple[Callable[[Connection], None], Callable[[Connection], None]]] = {
    "0001": (fill_0001, check_0001),
    "0002": (fill_0002, check_0002),
    "0003": (fill_0003, check_0003),
    "0004": (fill_0004, check_0004),
    "0005": (fill_0005, check_0005),
    "0006": (fill_0006, check_0006),
    "0007": (fill_0007, check_0007),
}


def database_at(path: Path, revision: str) -> Path:
    """Make a database as a program of that revision would have left it, with rows."""
    make_file(path)
    database = SqliteDatabase(path, readonly=False)
    with database.write() as connection:
        FileAddress(path).mark(connection)
        latent_migrations.upgrade(connection, revision)
        ROWS[revision][0](connection)
    database.close()
    return path


def schema(path: Path) -> list[str]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        found = connection.execute("SELECT sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name")
        return [sql for (sql,) in found]
    finally:
        connection.close()


def test_every_revision_has_rows_to_be_tested_with() -> None:
    assert list(ROWS) == REVISIONS


def test_revisions_are_numbered_in_order_and_named() -> None:
    config = Config()
    config.set_main_option("script_location", "latent_migrations:")
    scripts = ScriptDirectory.from_config(config)
    chain = [script.revision for script in scripts.walk_revisions()][::-1]
    assert chain == REVISIONS == [f"{number:04d}" for number in range(1, len(REVISIONS) + 1)]
    assert scripts.get_current_head() == latent_migrations.head() == REVISIONS[-1]
    assert all(latent_migrations.revisions().values())


def test_migrations_lead_to_the_tables_that_the_program_uses(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory, memory.database.read() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_come_through_from_every_revision(tmp_path: Path, revision: str) -> None:
    path = database_at(tmp_path / "m.sqlite3", revision)
    done = migrate(path)
    assert (done.current, done.head) == (revision, REVISIONS[-1])
    assert list(done.pending) == REVISIONS[REVISIONS.index(revision) + 1 :]
    database = SqliteDatabase(path, readonly=False)
    with database.read() as connection:
        ROWS[revision][1](connection)
        assert database.faults(connection) == []
    database.close()
    LatentMemory(tmp_path / "new.sqlite3").close()
    assert schema(path) == schema(tmp_path / "new.sqlite3")


@pytest.mark.parametrize("revision", REVISIONS[1:])
def test_rows_come_through_one_step(tmp_path: Path, revision: str) -> None:
    before = REVISIONS[REVISIONS.index(revision) - 1]
    path = database_at(tmp_path / "m.sqlite3", before)
    database = SqliteDatabase(path, readonly=False)
    with database.write() as connection:
        latent_migrations.upgrade(connection, revision)
        assert latent_migrations.current(connection) == revision
    with database.read() as connection:
        ROWS[before][1](connection)
    database.close()


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_a_database_that_is_behind_says_what_to_run(tmp_path: Path, revision: str) -> None:
    path = database_at(tmp_path / "it's.sqlite3", revision)
    before = path.read_bytes()
    for mode in ("read-write", "read", "write"):
        with pytest.raises(SchemaError) as caught:
            LatentMemory(path, mode=mode)
        lacking = ", ".join(REVISIONS[REVISIONS.index(revision) + 1 :])
        assert f"at {revision!r}, which lacks {lacking};" in str(caught.value)
        assert "run: latent-agent migrate --memory '" in str(caught.value)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["it's.sqlite3"]


def set_revision(path: Path, revision: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("UPDATE alembic_version SET version_num = ?", [revision])
    connection.close()


def test_a_database_that_is_ahead_is_left_as_it_is(tmp_path: Path) -> None:
    path = database_at(tmp_path / "m.sqlite3", REVISIONS[-1])
    set_revision(path, "9998")
    # As if the newer program had gone back to another journal, too.
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    before = path.read_bytes()
    for use in (
        lambda: LatentMemory(path),
        lambda: LatentMemory(path, mode="read"),
        lambda: migrate(path),
        lambda: migrate(path, dry_run=True),
    ):
        with pytest.raises(
            SchemaError, match=r"'9998', which a newer version made.*install that version"
        ):
            use()
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.sqlite3"]


def test_a_program_notices_that_its_open_database_was_migrated(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add(trace(1))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        other.execute("UPDATE alembic_version SET version_num = '9998'")
        other.execute("ALTER TABLE traces ADD COLUMN news TEXT")
        other.execute("COMMIT")
        with pytest.raises(SchemaError, match="a newer version made"):
            memory.add(trace(2))
        with pytest.raises(SchemaError, match="a newer version made"):
            recalled(memory, vector(1))
        assert other.execute("SELECT count(*) FROM traces").fetchone() == (1,)
        other.close()


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    path = database_at(tmp_path / "m.sqlite3", "0001")
    before = path.read_bytes()
    plan = migrate(path, dry_run=True)
    assert (plan.current, plan.head, plan.backup) == ("0001", REVISIONS[-1], None)
    assert list(plan.pending) == REVISIONS[1:]
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["m.sqlite3"]


def test_a_copy_is_made_beforehand_and_nothing_without_need(tmp_path: Path) -> None:
    path = database_at(tmp_path / "m.sqlite3", "0001")
    done = migrate(path)
    assert done.backup is not None
    assert done.backup.name.startswith("m.sqlite3.backup-0001-20")
    assert done.backup.stat().st_mode & 0o077 == 0
    connection = create_engine(f"sqlite:///{done.backup}").connect()
    assert latent_migrations.current(connection) == "0001"
    check_0001(connection)
    connection.close()
    connection.engine.dispose()
    again = migrate(path)
    assert (list(again.pending), again.backup) == ([], None)
    assert len(list(tmp_path.glob("*.backup-*"))) == 1


def test_only_a_memory_is_migrated(tmp_path: Path) -> None:
    with pytest.raises(LocationError, match="there is none"):
        migrate(tmp_path / "nowhere.sqlite3")
    (tmp_path / "empty.sqlite3").touch()
    with pytest.raises(LocationError, match="is empty"):
        migrate(tmp_path / "empty.sqlite3")
    connection = sqlite3.connect(tmp_path / "other.sqlite3")
    connection.execute("CREATE TABLE alembic_version (version_num TEXT)")
    connection.execute("INSERT INTO alembic_version VALUES ('0001')")
    connection.commit()
    connection.close()
    with pytest.raises(LocationError, match="another program made"):
        migrate(tmp_path / "other.sqlite3")


def test_migrations_run_only_inside_a_transaction(tmp_path: Path) -> None:
    """Outside one, SQLite would commit every statement by itself: a kill leaves half a schema."""
    engine = create_engine(f"sqlite:///{tmp_path / 'm.sqlite3'}")
    with engine.connect() as connection, pytest.raises(RuntimeError, match="BEGIN IMMEDIATE"):
        latent_migrations.upgrade(connection)
    engine.dispose()
    assert schema(tmp_path / "m.sqlite3") == []


def test_a_migration_that_fails_leaves_the_old_schema(tmp_path: Path) -> None:
    """In the middle of its statements, and with a revision of its own."""
    path = tmp_path / "place" / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add_many(trace(number) for number in range(5))
    before = schema(path)
    folder = extended_migrations(tmp_path / "migrations")
    (script,) = folder.rglob(f"{REVISION}_*.py")
    script.write_text(script.read_text() + "\n    raise ValueError('in the middle')\n")
    with pytest.raises(AssertionError, match="in the middle"):
        Worker(migrate_copy, path, folder).result()
    assert schema(path) == before
    with LatentMemory(path) as memory:
        assert memory.verify() == []
        assert len(memory.list()) == 5


def test_a_later_revision_is_applied_by_a_later_program(tmp_path: Path) -> None:
    path = tmp_path / "place" / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add_many(trace(number) for number in range(5))
    Worker(migrate_copy, path, extended_migrations(tmp_path / "migrations")).result()
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM traces WHERE crash = id").fetchone() == (5,)
    connection.close()
    with pytest.raises(SchemaError, match="a newer version made"):
        LatentMemory(path)
    (copy,) = path.parent.glob("*.backup-*")
    shutil.copy(copy, tmp_path / "restored.sqlite3")
    with LatentMemory(tmp_path / "restored.sqlite3") as memory:
        assert recalled(memory, vector(3), k=1) == [4]


def test_the_scripts_are_found_where_the_package_is() -> None:
    package = Path(latent_migrations.__file__).parent
    names = {file.name for file in package.iterdir()}
    assert {"env.py", "versions", "script.py.mako", "py.typed"} <= names
