"""Whether damage is noticed, by verify and by every reader; and what can be done then."""

import shutil
import struct
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from latent_memory import DamageError, LatentMemory
from latent_memory.trace_rows import insert_trace
from latent_memory.transfer.copying import copy
from tests.support.memories import SHELF, recalled, trace, vector
from tests.support.servers import Place


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory that is only copied; more traces than `verify` reads in one batch."""
    path = tmp_path_factory.mktemp("sound") / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add_many(trace(number) for number in range(300))
    return path


@pytest.fixture
def memory(sound: Path, place: Place):
    at = place("m.sqlite3")
    if isinstance(at, Path):
        shutil.copy(sound, at)
    with LatentMemory(at) as memory:
        if not isinstance(at, Path):
            with LatentMemory(sound, mode="read") as source:
                copy(source.database, memory.database)
        yield memory


def change(memory: LatentMemory, statement: str, *values: Any) -> None:
    if isinstance(memory.place, str):
        statement = statement.replace("?", "%s")
    with memory.database.write() as connection:
        assert connection.exec_driver_sql(statement, values).rowcount == 1


def test_a_sound_memory_has_no_problems(memory: LatentMemory) -> None:
    steps: list[tuple[int, int]] = []
    assert memory.verify(lambda *step: steps.append(step)) == []
    assert steps == [(200, 300), (300, 300)]


FIELDS = {
    "score": "UPDATE traces SET score = -0.126 WHERE id = 7",
    "score as text": "UPDATE traces SET score = 'bad' WHERE id = 7",
    "rewards": "UPDATE traces SET rewards = '[-1.0]' WHERE id = 7",
    "rewards torn": "UPDATE traces SET rewards = '[-1.0' WHERE id = 7",
    "steps": "UPDATE traces SET steps = 3 WHERE id = 7",
    "stopped": "UPDATE traces SET stopped = 'thresholD' WHERE id = 7",
    "tokens": "UPDATE texts SET tokens = '[0, 1, 2, 4]' WHERE trace = 7",
    "neighbours": "UPDATE traces SET neighbours = '[1]' WHERE id = 7",
    "prior": "UPDATE traces SET prior = '3' WHERE id = 7",
    "created": "UPDATE traces SET created = created + 1 WHERE id = 7",
    "checksum": "UPDATE traces SET checksum = checksum + 1 WHERE id = 7",
    "query": "UPDATE texts SET query = 'another 7' WHERE trace = 7",
    "answer": "UPDATE texts SET answer = NULL WHERE trace = 7",
    "not UTF-8": "UPDATE texts SET answer = CAST(x'61ff62' AS TEXT) WHERE trace = 7",
    "no texts": "DELETE FROM texts WHERE trace = 7",
    "no latents": "DELETE FROM latents WHERE trace = 7",
    "no embedding": "DELETE FROM embeddings WHERE trace = 7",
    "another's latents": (
        "UPDATE latents SET bytes = (SELECT bytes FROM latents WHERE trace = 8) WHERE trace = 7"
    ),
    "short embedding": "UPDATE embeddings SET vector = CAST('ab' AS {bytes}) WHERE trace = 7",
}
NOT_ON_A_SERVER = ("score as text", "not UTF-8")  # it refuses to store them


@pytest.mark.parametrize("field", FIELDS)
def test_a_changed_field_is_noticed_and_can_be_forgotten(memory: LatentMemory, field: str) -> None:
    on_a_server = isinstance(memory.place, str)
    if on_a_server and field in NOT_ON_A_SERVER:
        pytest.skip("a server refuses to store it")
    change(memory, FIELDS[field].format(bytes="bytea" if on_a_server else "BLOB"))
    (problem,) = memory.verify()
    assert (problem.kind, problem.trace) == ("trace", 7)
    assert "latent-agent memory forget 7" in problem.text
    with pytest.raises(DamageError, match="trace 7 is damaged"):
        memory.get(7)
    assert memory.get(8) is not None
    assert memory.forget(ids=[7]) == 1
    assert memory.verify() == []
    assert len(recalled(memory, vector(6), k=300)) == 299


@pytest.mark.parametrize("table", ["latents", "embeddings"])
def test_every_flipped_byte_of_an_array_is_noticed(memory: LatentMemory, table: str) -> None:
    column = "bytes" if table == "latents" else "vector"
    with memory.database.read() as connection:
        stored = connection.exec_driver_sql(f"SELECT {column} FROM {table} WHERE trace = 7")
        content = bytes(stored.scalar_one())
    for at in range(len(content)):
        damaged = bytearray(content)
        damaged[at] ^= 0x10
        change(memory, f"UPDATE {table} SET {column} = ? WHERE trace = 7", bytes(damaged))
        with pytest.raises(DamageError):
            memory.get(7)
    change(memory, f"UPDATE {table} SET {column} = ? WHERE trace = 7", content)
    assert memory.get(7) is not None


@pytest.mark.parametrize("when", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00"])
def test_a_date_that_no_calendar_has_is_damage(place: Place, when: str) -> None:
    """Imports refuse it; a direct write to the database does not."""
    with LatentMemory(place("m.sqlite3")) as memory:
        with memory.database.write() as connection:
            insert_trace(connection, trace(), datetime.fromisoformat(when))
        for read in (memory.list, memory.shelves, memory.stats, lambda: memory.get(1)):
            with pytest.raises(DamageError, match=r"between the years 1 and 9999.* memory verify"):
                read()
        (problem,) = memory.verify()
        assert memory.forget(ids=[problem.trace or 0]) == 1
        assert memory.list() == []


def test_a_recall_never_returns_what_is_damaged(memory: LatentMemory) -> None:
    change(memory, "UPDATE texts SET query = 'another question' WHERE trace = 7")
    with pytest.raises(DamageError, match="trace 7 is damaged"):
        memory.recall(vector(6), shelf=SHELF)
    assert len(recalled(memory, vector(200), k=1)) == 1


def test_an_embedding_that_is_no_number_is_reported(memory: LatentMemory) -> None:
    damaged = struct.pack("<16f", *[float("nan")] * 16)
    change(memory, "UPDATE embeddings SET vector = ? WHERE trace = 7", damaged)
    with pytest.raises(DamageError, match="latent-agent memory verify"):
        recalled(memory, vector(6))  # its own, which a server compares it with alone
    (problem,) = memory.verify()
    memory.forget(ids=[problem.trace or 0])
    assert recalled(memory, vector(1), k=1) == [2]


def test_a_shelf_of_another_width_is_noticed(memory: LatentMemory) -> None:
    change(memory, "UPDATE shelves SET width = 9")
    problems = memory.verify()
    assert len(problems) == 300
    assert "trace 1 has (16, 8)" in problems[0].text


def test_what_sqlite_reports_is_a_problem(tmp_path: Path) -> None:
    """A page of an index with one entry less than the table has rows."""
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add_many(trace(number) for number in range(300))
        with memory.database.read() as connection:
            found = "SELECT rootpage FROM sqlite_schema WHERE name = 'traces_by_shelf'"
            root = connection.exec_driver_sql(found).scalar_one()
    content = bytearray(path.read_bytes())
    content[(root - 1) * 16384 + 4] ^= 0x01  # the number of entries on the page
    path.write_bytes(content)
    with LatentMemory(path) as memory:
        problems = memory.verify()
    assert {problem.kind for problem in problems} == {"database"}
    assert "tree page" in problems[0].text


def test_rows_that_belong_to_nothing_are_a_problem(memory: LatentMemory) -> None:
    change(memory, "DELETE FROM traces WHERE id = 7")
    problems = memory.verify()
    assert {problem.kind for problem in problems} == {"database"}
    tables = [problem.text.split("but ")[1].split()[0] for problem in problems]
    assert sorted(tables) == ["embeddings", "latents", "texts"]
    memory.compact()
    assert memory.verify() == []
