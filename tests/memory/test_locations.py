"""Where a memory can lie, and what happens where it cannot, or where the disk fails."""

import os
import sqlite3
import stat
from pathlib import Path

import pytest

from latent_memory import (
    DamageError,
    LatentMemory,
    LatentMemoryError,
    LocationError,
    ReadOnlyError,
    default_location,
)
from latent_memory.store import Mode
from tests.support.memories import SHELF, as_nobody, recalled, run_python, trace, vector


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        ("", "kept in a file, got ''"),
        (":memory:", "kept in a file, got ':memory:'"),
        ("sqlite://", "kept in a file, got 'sqlite://'"),
        ("sqlite:///:memory:", "kept in a file"),
        ("/tmp", "got the folder '/tmp'"),
        ("mysql://me:secret@host/db", r"SQLite or PostgreSQL.*'mysql://me:\*\*\*@host/db'"),
        ("mysql+pymysql://host/db", "SQLite or PostgreSQL"),
        ("postgresql+asyncpg://me:secret@host/db", r"by psycopg.*//me:\*\*\*@host/db'"),
        ("postgresql://me:secret@host:many/db", "a URL that cannot be read"),
        ("sqlite:///a.db?mode=ro", "sqlite:///PATH and nothing more"),
        ("nonsense://", "SQLite or PostgreSQL|a URL that cannot be read"),
        ("a\0b", "kept in a file"),
    ],
)
def test_a_location_that_is_none_is_refused(location: str, rule: str) -> None:
    with pytest.raises(LocationError, match=rule) as caught:
        LatentMemory(location)
    assert "secret" not in str(caught.value)


def test_a_url_and_a_path_are_the_same_place(tmp_path: Path) -> None:
    odd = tmp_path / "odd name ?#%41&.sqlite3"
    with LatentMemory(odd) as memory:
        memory.add(trace(1))
    assert odd.is_file()
    with LatentMemory(f"sqlite:///{tmp_path}/plain.db") as memory:
        memory.add(trace(1))
    assert (tmp_path / "plain.db").is_file()


def test_home_and_the_current_folder_count(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    LatentMemory("here.sqlite3").close()
    LatentMemory("~/there.sqlite3").close()
    assert (tmp_path / "here.sqlite3").is_file()
    assert (home / "there.sqlite3").is_file()
    assert home in default_location().parents


def test_only_the_owner_may_read_it(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add(trace(1))
        modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
        assert modes == {0o600}


def test_named_files_can_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    """A night that root runs trains for the user whose calls use its prior."""
    before = os.umask(0o022)
    try:
        with LatentMemory(tmp_path / "m.sqlite3") as memory:
            memory.database.files.write("1.safetensors", b"weights")
    finally:
        os.umask(before)
    (file,) = tmp_path.glob("*.priors/*")
    assert stat.S_IMODE(file.stat().st_mode) == 0o644


def test_an_empty_file_becomes_a_memory(tmp_path: Path) -> None:
    """As one that a kill left at the very beginning."""
    (tmp_path / "m.sqlite3").touch()
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        assert memory.add(trace(1)) == 1
    (tmp_path / "n.sqlite3").touch()
    with pytest.raises(LocationError, match="is empty"):
        LatentMemory(tmp_path / "n.sqlite3", mode="read")


@pytest.mark.parametrize("content", [b"hello", b"x" * 5000, b"\x89PNG" + bytes(20_000)])
@pytest.mark.parametrize("mode", ["read-write", "read"])
def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path, content: bytes, mode) -> None:
    file = tmp_path / "m.sqlite3"
    file.write_bytes(content)
    with pytest.raises(LocationError, match="must be an SQLite database"):
        LatentMemory(file, mode=mode)
    assert [path.name for path in tmp_path.iterdir()] == ["m.sqlite3"]
    assert file.read_bytes() == content


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "m.sqlite3"
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE messages (text)")
    connection.close()
    before = file.read_bytes()
    with pytest.raises(LocationError, match="another program made"):
        LatentMemory(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["m.sqlite3"]


def test_a_database_that_was_cut_off_is_damaged(tmp_path: Path) -> None:
    file = tmp_path / "m.sqlite3"
    with LatentMemory(file) as memory:
        memory.add_many(trace(number) for number in range(200))
    file.write_bytes(file.read_bytes()[:40_000])

    def use() -> None:
        with LatentMemory(file) as memory:
            recalled(memory, vector(1))
            memory.verify()

    with pytest.raises(DamageError, match="sound SQLite database"):
        use()


def test_a_memory_to_read_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(LocationError, match="where there is none"):
        LatentMemory(tmp_path / "m.sqlite3", mode="read")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(open_folder: Path) -> None:
    place = open_folder / "locked"
    place.mkdir(mode=0o555)

    def work() -> None:
        for file in (place / "m.sqlite3", place / "deeper" / "m.sqlite3"):
            with pytest.raises(LocationError, match=r"can be made.*locked.*may write to"):
                LatentMemory(file)

    as_nobody(work)
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("mode", ["read-write", "read"])
def test_a_folder_that_cannot_be_entered_is_named(open_folder: Path, mode: Mode) -> None:
    place = open_folder / "shut"
    place.mkdir(mode=0o000)

    def work() -> None:
        with pytest.raises(LocationError, match=r"can be read.*shut.*may enter"):
            LatentMemory(place / "m.sqlite3", mode=mode)

    as_nobody(work)


@pytest.mark.parametrize("locked", ["file", "folder"])
@pytest.mark.parametrize("mode", ["read-write", "read"])
def test_a_read_only_memory_is_read(open_folder: Path, locked: str, mode) -> None:
    """Recall works, adding is refused, whether the file cannot be written or its folder."""
    place = open_folder / "place"
    place.mkdir()
    file = place / "m.sqlite3"
    with LatentMemory(file) as memory:
        memory.add_many(trace(number) for number in range(30))
    file.chmod(0o444 if locked == "file" else 0o666)
    place.chmod(0o777 if locked == "file" else 0o555)

    def work() -> None:
        memory = LatentMemory(file, mode=mode)
        assert recalled(memory, vector(3), k=1) == [4]
        for write in (lambda: memory.add(trace(99)), lambda: memory.forget(ids=[1])):
            with pytest.raises(ReadOnlyError, match=r"m\.sqlite3.*make the file and its folder"):
                write()
        assert memory.verify() == []
        memory.close()

    as_nobody(work)
    place.chmod(0o755)
    file.chmod(0o600)
    with LatentMemory(file) as memory:
        assert len(memory.list()) == 30


FULL = """
import resource, sys
from pathlib import Path
from latent_memory import LatentMemory, StorageError
from tests.support.memories import recalled, trace, vector

path = Path(sys.argv[1])
memory = LatentMemory(path)
ids = [memory.add(trace(number)) for number in range(20)]
limit = path.with_name(path.name + "-wal").stat().st_size + 800_000
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
refused = 0
for number in range(20, 60):
    try:
        ids.append(memory.add(trace(number, answer="a" * 5000)))
    except StorageError as error:
        assert "disk must take what is written" in str(error), error
        assert str(path) in str(error)
        refused += 1
assert 0 < refused < 40, refused
assert recalled(memory, vector(3), k=1) == [4]
assert [info.id for info in memory.list(limit=100)] == ids[::-1]
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
ids.append(memory.add(trace(99)))
assert memory.verify() == []
memory.close()
print(len(ids))
"""


def test_a_disk_that_takes_no_more_stores_nothing_and_loses_nothing(tmp_path: Path) -> None:
    count = int(run_python(FULL, tmp_path / "m.sqlite3").stdout)
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        assert len(memory.list(limit=100)) == count > 20
        assert memory.verify() == []


QUOTA = """
import sys
from latent_memory import LatentMemory, StorageError
from tests.support.memories import trace

with LatentMemory(sys.argv[1]) as memory:
    memory.add(trace(1))
    with memory.database.read() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")
    try:
        memory.add_many(trace(number, answer="a" * 50_000) for number in range(20))
    except StorageError as error:
        assert "full" in str(error), error
    else:
        raise SystemExit("it was stored")
    assert len(memory.list()) == 1
"""


def test_a_database_that_is_full_says_so(tmp_path: Path) -> None:
    run_python(QUOTA, tmp_path / "m.sqlite3")
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        assert memory.verify() == []
        assert memory.add(trace(5)) == 2


def test_all_our_errors_have_one_base() -> None:
    for kind in (LocationError, DamageError, ReadOnlyError):
        assert issubclass(kind, LatentMemoryError)
    assert SHELF.reward
