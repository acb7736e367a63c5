"""What only a memory on a server meets: logins, rights, strangers, crashes."""

import gc
import logging
import os
import pickle
import threading
import time
import traceback
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from weakref import ref

import pytest
from sqlalchemy import make_url

from latent_agent import ChatLatentSeek
from latent_memory import (
    LatentMemory,
    LatentMemoryError,
    Limits,
    LocationError,
    ReadOnlyError,
    SchemaError,
    StorageError,
)
from latent_memory.transfer.copying import copy
from tests.support.memories import (
    SHELF,
    Worker,
    in_namespace,
    recalled,
    run_python,
    trace,
    vector,
)
from tests.support.servers import Server, fresh_name


def test_two_schemas_are_two_memories(server: Server, memory: LatentMemory) -> None:
    name = fresh_name()
    with LatentMemory(server.schema(name)) as other:
        assert [memory.add(trace(1)), memory.add(trace(2)), other.add(trace(3))] == [1, 2, 1]
        assert recalled(memory, vector(3), k=3) == [1, 2]
    server.drop(name)


def test_a_database_of_another_program_is_left_alone(server: Server, url: str) -> None:
    schema = url.rpartition("%3D")[2].partition("%2C")[0]
    server.run(f'CREATE TABLE "{schema}".orders (id int)')
    for mode in ("read-write", "read"):
        with pytest.raises(LocationError, match="another program made"):
            LatentMemory(url, mode=mode)
    found = server.run(f"SELECT count(*) FROM pg_tables WHERE schemaname = '{schema}'")
    assert found == 1


def test_an_empty_schema_cannot_be_read(url: str) -> None:
    with pytest.raises(LocationError, match="must have been written once"):
        LatentMemory(url, mode="read")


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"database": "no_such_database"}, "must be there"),
        ({"username": "nobody_here"}, "let its user in|must be there"),
        ({"host": "/nowhere/at/all", "query": {}}, "must answer"),
    ],
)
def test_what_cannot_be_reached_says_why_and_no_password(
    server: Server, change: dict[str, object], rule: str, caplog: pytest.LogCaptureFixture
) -> None:
    url = server.url.set(password="s3cret-word", **change)  # pyright: ignore
    with caplog.at_level(logging.DEBUG), pytest.raises(LatentMemoryError, match=rule) as raised:
        LatentMemory(url)
    told = "".join(traceback.format_exception(raised.value))
    assert "s3cret-word" not in told + caplog.text


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://me:s3cret-word@host:port/db",
        "postgresql+psycopg://me@/db?password=s3cret-word&host=/nowhere/at/all",
        "postgresql+pg8000://me:s3cret-word@host/db",
        "mysql://me:s3cret-word@host/db",
    ],
)
def test_a_password_is_in_no_error_whatever_the_url(url: str) -> None:
    with pytest.raises(LatentMemoryError) as raised:
        LatentMemory(url)
    assert "s3cret-word" not in "".join(traceback.format_exception(raised.value))
    assert "s3cret-word" not in said_of(url)


def said_of(url: str) -> str:
    """What a chat model says of its memory, or of why it refuses it."""
    try:
        return repr(ChatLatentSeek(model="bundled", memory=url))
    except LatentMemoryError as error:
        return "".join(traceback.format_exception(error))


def test_a_password_is_not_shown_where_a_memory_lies(url: str) -> None:
    with LatentMemory(f"{url}&password=s3cret-word") as memory:
        shown = [memory.place, memory.stats(), memory.database.place, repr(memory)]
        assert "s3cret-word" not in str(shown)
        with pytest.raises(LocationError, match="lies on a server"):
            _ = memory.path


def test_a_server_without_pgvector_is_named(server: Server) -> None:
    """A database that has never heard of the extension, and a user who may not create it."""
    role, base = fresh_name(), fresh_name()
    server.run(
        f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
        f"CREATE DATABASE {base}",
        f"GRANT ALL ON DATABASE {base} TO {role}",
    )
    theirs = server.url.set(username=role, password="x", database=base)
    owner = Server(server.url.set(database=base))
    owner.run(f"GRANT ALL ON SCHEMA public TO {role}")
    with pytest.raises(LocationError, match="CREATE EXTENSION vector"):
        LatentMemory(theirs)
    owner.run("CREATE EXTENSION vector")
    with LatentMemory(theirs) as memory:
        assert memory.add(trace(1)) == 1
    server.run(f"DROP DATABASE {base}", f"DROP ROLE {role}")


@pytest.mark.parametrize(
    ("found", "rule"),
    [(None, "has none; install"), ("0.7.4", "0.8 or newer, got .* 0.7.4"), ("1.0", "")],
)
def test_pgvector_must_be_new_enough(server: Server, found: str | None, rule: str) -> None:
    from latent_memory.postgres.address import ServerAddress

    address = ServerAddress(server.url)
    if not rule:
        address.require_vector(found)
        return
    with pytest.raises(LocationError, match=rule):
        address.require_vector(found)


def test_an_old_server_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setattr("latent_memory.postgres.address.OLDEST", 990000)
    with pytest.raises(LocationError, match=r"PostgreSQL 99 or newer, got .* with version"):
        LatentMemory(url)


@contextmanager
def database(server: Server, options: str = "") -> Generator[Server]:
    """A new database, which has never heard of the extension."""
    name = fresh_name()
    server.run(f"CREATE DATABASE {name} {options}")
    yield Server(server.url.set(database=name))
    server.run(f"DROP DATABASE {name} WITH (FORCE)")


def test_many_processes_make_one_memory_in_a_new_database(server: Server) -> None:
    with database(server) as empty:
        url = empty.url.render_as_string(hide_password=False)
        makers = [Worker(add_one, url, number) for number in range(4)]
        assert sorted(maker.result() for maker in makers) == [1, 2, 3, 4]


def add_one(url: str, number: int) -> int:
    with LatentMemory(url) as memory:
        return memory.add(trace(number))


def test_a_database_that_holds_no_other_alphabet_is_refused(server: Server) -> None:
    latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0"
    with (
        database(server, latin) as odd,
        pytest.raises(LocationError, match=r"in UTF8, got .*LATIN"),
    ):
        LatentMemory(odd.url)


def test_an_extension_that_is_out_of_sight_is_told(server: Server) -> None:
    with database(server) as base:
        base.run("CREATE SCHEMA far", "CREATE EXTENSION vector SCHEMA far")
        with pytest.raises(LocationError, match=r"on its search path, got .*vector type not found"):
            LatentMemory(base.url)
        near = base.url.update_query_dict({"options": "-csearch_path=public,far"})
        with LatentMemory(near) as memory:
            assert memory.add(trace(1)) == 1


def test_what_the_server_forbids_is_an_error_of_the_memory(memory: LatentMemory, url: str) -> None:
    """Whatever a server's own limits end: a call must be able to go on without its memory."""
    impatient = f"{url}%20-cstatement_timeout%3D100"
    with (
        LatentMemory(impatient) as other,
        memory.database.write(),
        pytest.raises(StorageError, match=r"able to do what is asked, got .*timeout"),
    ):
        other.add(trace(1))
    assert memory.add(trace(1)) == 1


def test_what_is_not_committed_is_looked_for_again(server: Server, memory: LatentMemory) -> None:
    """The number of a trace that was refused at the last moment is given again after a crash."""
    memory.add(trace(1))
    refuse_in(memory, "AFTER INSERT ON traces DEFERRABLE INITIALLY DEFERRED FOR EACH ROW")
    with pytest.raises(StorageError, match="not now"):
        memory.add(trace(2))
    with memory.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER refused ON traces")
        memory.database.set_highest_ids(connection, {"traces": 1})
    assert memory.add(trace(3)) == 2
    assert recalled(memory, vector(3), k=1) == [2]


def refuse_in(memory: LatentMemory, event: str) -> None:
    """Let the server refuse something, as if its disk were full."""
    kind = "CONSTRAINT TRIGGER" if "DEFERR" in event else "TRIGGER"
    with memory.database.write() as connection:
        connection.exec_driver_sql(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE 'not now' USING ERRCODE = '53100'; END $$"
        )
        connection.exec_driver_sql(f"CREATE {kind} refused {event} EXECUTE FUNCTION refuse()")


def test_a_replica_that_lacks_the_last_trace_gives_its_number_again(
    server: Server, memory: LatentMemory, url: str
) -> None:
    """As another server would that takes the place of one that was lost."""
    server.require_own()
    memory.add_many([trace(1), trace(2)])
    with LatentMemory(url) as other, other.database.write() as connection:
        for table in ("vectors", "embeddings", "latents", "texts"):
            connection.exec_driver_sql(f"DELETE FROM {table} WHERE trace = 2")
        connection.exec_driver_sql("DELETE FROM traces WHERE id = 2")
        other.database.set_highest_ids(connection, {"traces": 1})
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert memory.add(trace(3)) == 2
    assert recalled(memory, vector(3), k=1) == [2]


def test_a_memory_that_nobody_holds_leaves_no_connection(server: Server, url: str) -> None:
    memory: LatentMemory | None = LatentMemory(url)
    assert memory is not None
    memory.add(trace(1))
    schema = url.rpartition("%3D")[2].partition("%2C")[0]
    database = ref(memory.database)
    del memory
    gc.collect()
    assert database() is None
    left = (
        "SELECT count(*) FROM pg_locks JOIN pg_class c ON c.oid = relation "
        f"WHERE relnamespace = to_regnamespace('{schema}')"
    )
    assert server.run(left) == 0


def test_who_may_only_read_is_told(
    server: Server, url: str, memory: LatentMemory, tmp_path: Path
) -> None:
    memory.add(trace(1))
    role, schema = fresh_name(), url.rpartition("%3D")[2].partition("%2C")[0]
    server.run(
        f"CREATE ROLE {role} LOGIN",
        f'GRANT USAGE ON SCHEMA "{schema}" TO {role}',
        f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO {role}',
    )
    theirs = make_url(url).set(username=role)
    with LatentMemory(theirs) as reading:
        assert recalled(reading, vector(1)) == [1]
        with pytest.raises(ReadOnlyError, match="a user who may write"):
            reading.add(trace(2))
        with LatentMemory(tmp_path / "m.sqlite3") as mine:
            with pytest.raises(ReadOnlyError, match=r"may not read .*traces_id_seq"):
                copy(reading.database, mine.database)
            server.run(f'GRANT SELECT ON ALL SEQUENCES IN SCHEMA "{schema}" TO {role}')
            assert copy(reading.database, mine.database) == 1
    server.run(f'REVOKE ALL ON ALL TABLES IN SCHEMA "{schema}" FROM {role}',
               f'REVOKE ALL ON ALL SEQUENCES IN SCHEMA "{schema}" FROM {role}',
               f'REVOKE ALL ON SCHEMA "{schema}" FROM {role}', f"DROP ROLE {role}")  # fmt: skip


def test_who_owns_no_table_is_told_that_nothing_was_compacted(
    server: Server, url: str, memory: LatentMemory, caplog: pytest.LogCaptureFixture
) -> None:
    role, schema = fresh_name(), url.rpartition("%3D")[2].partition("%2C")[0]
    rights = [f'ALL ON SCHEMA "{schema}"', f'ALL ON ALL TABLES IN SCHEMA "{schema}"']
    rights.append(f'ALL ON ALL SEQUENCES IN SCHEMA "{schema}"')
    server.run(f"CREATE ROLE {role} LOGIN", *(f"GRANT {right} TO {role}" for right in rights))
    with LatentMemory(make_url(url).set(username=role)) as theirs:
        assert theirs.add(trace(1)) == 1
        with pytest.raises(ReadOnlyError, match="by the owner of its tables"):
            theirs.compact()
        theirs.database.vacuum(thorough=False)  # as a night does
    assert "left to the server" in caplog.text
    memory.compact()
    server.run(*(f"REVOKE {right} FROM {role}" for right in rights), f"DROP ROLE {role}")


def test_a_schema_of_a_newer_program_is_left(memory: LatentMemory, url: str) -> None:
    with memory.database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="a newer version made"):
        memory.add(trace(1))
    with pytest.raises(SchemaError, match="a newer version made"):
        LatentMemory(url)


def test_one_writer_at_a_time_and_no_longer_than_a_call_has(memory: LatentMemory, url: str) -> None:
    began, done = threading.Event(), threading.Event()

    def hold() -> None:
        with LatentMemory(url) as other, other.database.write():
            began.set()
            done.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert began.wait(20)
    start = time.monotonic()
    with pytest.raises(StorageError, match="kept its lock"):
        memory.add(trace(1), within=0.3)
    assert 0.2 < time.monotonic() - start < 5
    done.set()
    holder.join(20)
    assert memory.add(trace(1))


def test_the_nights_lock_falls_with_its_session(memory: LatentMemory, url: str) -> None:
    from latent_memory.database import NightHeldError

    with LatentMemory(url) as other:
        assert not other.database.night_running()
        with memory.database.night_lock():
            assert other.database.night_running()
            with (
                pytest.raises(NightHeldError, match=f"process {os.getpid()} on .* \\(since "),
                other.database.night_lock(),
            ):
                pass
        assert not other.database.night_running()
        with other.database.night_lock():
            assert memory.database.night_running()


def test_files_are_rows(memory: LatentMemory) -> None:
    files = memory.database.files
    with pytest.raises(FileNotFoundError):
        files.read("1.safetensors")
    files.write("1.safetensors", b"one")
    files.write("1.safetensors", b"other")
    assert files.read("1.safetensors") == b"other"
    (found,) = files.list()
    assert (found.name, found.size) == ("1.safetensors", 5)
    assert abs(found.written - time.time()) < 60
    assert files.delete("1.safetensors") == files.delete("none") == []
    assert files.list() == []


def test_a_file_that_cannot_be_deleted_costs_no_trace(
    memory: LatentMemory, caplog: pytest.LogCaptureFixture
) -> None:
    memory.add(trace(1, shelf=in_namespace("ann")))
    memory.set_limits(Limits(total=1))
    refuse_in(memory, "BEFORE DELETE ON files")
    new = memory.add(trace(2, shelf=in_namespace("ben")))
    assert [info.id for info in memory.list()] == [new]
    assert "may hold what is erased" in caplog.text


def test_a_pickle_opens_the_same_memory(memory: LatentMemory) -> None:
    memory.add(trace(1))
    with pickle.loads(pickle.dumps(memory)) as again:
        assert recalled(again, vector(1)) == [1]


def test_nobody_pays_for_what_they_do_not_use(tmp_path: Path) -> None:
    run_python(
        "import sys\n"
        "from latent_memory import LatentMemory, LocationError\n"
        "from tests.support.memories import trace\n"
        "with LatentMemory(sys.argv[1]) as memory:\n"
        "    assert memory.add(trace(1)) == 1\n"
        "assert not {'psycopg', 'pgvector', 'psycopg_binary'} & set(sys.modules)\n"
        "sys.modules['psycopg'] = None\n"
        "try:\n"
        "    LatentMemory('postgresql+psycopg://me:s3cret-word@host/db')\n"
        "except LocationError as error:\n"
        "    assert 'latent-agent[postgres]' in str(error), error\n"
        "    assert 's3cret-word' not in str(error), error\n"
        "else:\n"
        "    raise AssertionError('it was opened')\n",
        tmp_path / "m.sqlite3",
    )


def test_many_threads_and_shelves_at_once(memory: LatentMemory) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def work(number: int) -> None:
        shelf = in_namespace(f"of {number % 5}")
        id_ = memory.add(trace(number, shelf=shelf))
        assert recalled(memory, vector(number), shelf, k=1) == [id_]
        if number % 4 == 0:
            memory.forget(ids=[id_])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(80)))
    assert len(memory.list(limit=100)) == 60
    assert memory.verify() == []


def test_a_server_that_crashes_and_comes_back_costs_nothing_more(
    server: Server, memory: LatentMemory
) -> None:
    ids = [memory.add(trace(number)) for number in range(20)]
    server.stop()
    try:
        for _ in range(2):
            with pytest.raises(StorageError, match="must answer"):
                memory.recall(vector(1), shelf=SHELF)
            with pytest.raises(StorageError, match="must answer"):
                memory.add(trace(99))
    finally:
        server.start()
    assert recalled(memory, vector(1), k=1) == [ids[1]]
    new = memory.add(trace(50))
    assert new > ids[-1]
    assert recalled(memory, vector(50), k=1) == [new]
    assert memory.verify() == []


def test_a_nights_lock_is_lost_with_the_server(
    server: Server, memory: LatentMemory, url: str
) -> None:
    with memory.database.night_lock():
        server.stop()
        server.start()
        with LatentMemory(url) as other:
            assert not other.database.night_running()
            with other.database.night_lock():
                assert memory.database.night_running()
    assert not memory.database.night_running()
