"""Forgetting: the bytes are gone from every file, and nothing else is."""

import logging
import random
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from latent_memory import IndexSettings, LatentMemory, TraceError
from latent_memory.codec import encode_latents
from latent_memory.sqlite import backup
from tests.support.memories import bytes_beside, in_namespace, recalled, trace, vector
from tests.support.servers import Place

# Lists from 30 vectors on, so that there is an index file; all searched, so that it is exact.
LISTS = IndexSettings(flat_until=30, members=2, probes=10_000)


def secret(number: int, **changes: Any):
    """A trace whose text, embedding and latents can be searched for."""
    made = trace(number, rows=30, width=200, **changes)
    return trace(
        number,
        rows=30,
        width=200,
        query=f"secret question <{number}> " * 30,
        answer=f"secret answer <{number}> " * 300,
        **{"embedding": made.embedding, **changes},
    )


def traits(number: int) -> list[bytes]:
    """Pieces of what is stored of a secret; each alone must be gone."""
    made = secret(number)
    packed = encode_latents(made.base, made.optimised)
    vector_bytes = made.embedding.astype("<f4").tobytes()
    pieces = [packed[at : at + 24] for at in range(11, len(packed) - 24, 997)]
    pieces += [vector_bytes[at : at + 12] for at in range(0, len(vector_bytes) - 12, 12)]
    return [*pieces, f"question <{number}>".encode(), f"answer <{number}>".encode()]


def found(number: int, content: bytes) -> list[bytes]:
    return [piece for piece in traits(number) if piece in content]


def test_the_bytes_are_gone_while_the_memory_is_open(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3", index=LISTS) as memory:
        memory.add_many(secret(number) for number in range(1, 61))
        recalled(memory, vector(1))
        backup(memory.path, "0001")
        content = bytes_beside(memory.path)
        for number in (1, 7, 60):
            # A piece may lie across two pages.
            assert len(found(number, content)) >= len(traits(number)) - 2
        assert memory.stats().index_bytes > 0
        assert memory.stats().backups

        assert memory.forget(ids=[7, 60]) == 2
        recalled(memory, vector(7))
        memory.export(tmp_path / "export")
        content = bytes_beside(memory.path)
        assert found(7, content) == found(60, content) == []
        assert len(found(1, content)) >= len(traits(1)) - 2
        assert memory.stats().backups == []
    content = bytes_beside(tmp_path / "m.sqlite3")
    assert found(7, content) == found(60, content) == []


@pytest.mark.parametrize("seed", [15, 32, 34])
def test_no_page_keeps_a_copy(tmp_path: Path, seed: int) -> None:
    """Rows of all sizes come and go, and SQLite moves those beside them between pages.

    With these seeds, rows that are deleted instead of emptied leave copies.
    """
    rng = random.Random(seed)
    number, alive, gone = 0, dict[int, int](), set[int]()
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        for _ in range(60):
            if rng.random() < 0.6 or len(alive) < 5:
                numbers = range(number, number + rng.choice([1, 5, 20, 60]))
                number = numbers.stop
                ids = memory.add_many(
                    trace(
                        1,
                        query=f"<{one}>",
                        answer="a" * rng.choice([0, 10, 300, 3000]),
                        tokens=(1_000_000 + one,) * 4,
                    )
                    for one in numbers
                )
                alive.update(zip(ids, numbers, strict=True))
            else:
                leaving = rng.sample(sorted(alive), min(len(alive), rng.choice([1, 3, 30, 100])))
                memory.forget(ids=leaving)
                gone.update(alive.pop(id_) for id_ in leaving)
        content = bytes_beside(memory.path)
    texts = {int(found) for found in re.findall(rb"<(\d+)>", content)}
    tokens = {int(found) - 1_000_000 for found in re.findall(rb"\[(\d{7}),", content)}
    assert set(alive.values()) <= texts
    assert set(alive.values()) <= tokens
    assert not gone & texts
    assert not gone & tokens


def test_a_namespace_goes_with_its_name(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3", index=LISTS) as memory:
        memory.add_many(trace(number) for number in range(10))
        alice = in_namespace("alice@example.org")
        memory.add_many(secret(number, shelf=alice) for number in range(40))
        recalled(memory, vector(1), alice)
        assert memory.stats().index_bytes > 0
        assert memory.forget(namespace="alice@example.org") == 40
        assert b"alice" not in bytes_beside(memory.path)
        assert memory.stats().index_bytes == 0
        assert recalled(memory, vector(1), alice) == []
        assert len(recalled(memory, vector(1))) == 5
        again = memory.add(secret(3, shelf=alice))
        assert recalled(memory, vector(1), alice) == [again]
        assert memory.verify() == []


READER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN")
connection.execute("SELECT count(*) FROM traces").fetchall()
print("reading", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
connection.close()
print("done", flush=True)
sys.stdin.readline()
"""


def test_a_reader_that_does_not_end_is_reported_and_the_log_emptied_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("latent_memory.sqlite.database.BUSY_SECONDS", 0)
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add_many(secret(number) for number in range(3))
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(memory.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert reader.stdin is not None
        assert reader.stdout is not None
        try:
            assert reader.stdout.readline() == "reading\n"
            with caplog.at_level(logging.WARNING, "latent_memory"):
                assert memory.forget(ids=[2]) == 1
            assert "a reader was active" in caplog.text
            assert found(1, bytes_beside(memory.path))
            reader.stdin.write("\n")
            reader.stdin.flush()
            assert reader.stdout.readline() == "done\n"
            memory.add(secret(50))
            assert found(1, bytes_beside(memory.path)) == []
        finally:
            reader.communicate("\n", timeout=30)


def test_forgetting_one_of_many_touches_little(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add_many(secret(number) for number in range(300))
    path = tmp_path / "m.sqlite3"
    before = path.read_bytes()
    with LatentMemory(path) as memory:
        memory.forget(ids=[150])
    after = path.read_bytes()
    pages = range(0, len(before), 16384)
    changed = sum(before[at : at + 16384] != after[at : at + 16384] for at in pages)
    assert len(before) == len(after)
    assert changed < 30 < len(pages) / 10


def test_other_memories_on_the_file_learn_of_it(place: Place) -> None:
    path = place("m.sqlite3")
    with LatentMemory(path) as one, LatentMemory(path) as other:
        one.add_many(trace(number) for number in range(20))
        assert recalled(other, vector(3), k=1) == [4]
        one.forget(ids=[4])
        assert 4 not in recalled(other, vector(3), k=20)
        assert other.get(4) is None


def test_conditions_are_combined(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add_many(trace(number) for number in range(3))
        memory.add_many(trace(number, shelf=in_namespace("b")) for number in range(3))
        soon = datetime.now(UTC) + timedelta(hours=1)
        past = datetime.now(UTC) - timedelta(hours=1)
        assert memory.forget(ids=[1, 2, 4, 77], namespace="b") == 1
        assert memory.forget(older_than=past) == 0
        assert memory.forget(older_than=soon, namespace="b", dry_run=True) == 2
        assert memory.forget(older_than=soon, namespace="b") == 2
        assert [info.id for info in memory.list()] == [3, 2, 1]
        with pytest.raises(TraceError, match="got no condition"):
            memory.forget()
        with pytest.raises(TraceError, match="time zone"):
            memory.forget(older_than=datetime(2020, 1, 1))
        assert memory.forget(ids=[]) == 0


def test_the_least_useful_are_pruned_first(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add(trace(1, score=-1.0))
        memory.add(trace(2, score=-0.5))
        memory.add(trace(3, score=-0.25))
        memory.add(trace(4, score=-0.25, neighbours=(1,)))
        memory.add(trace(5, score=-0.75, neighbours=(1, 2)))
        memory.add(trace(6, shelf=in_namespace("other"), score=-1.0))
        assert memory.prune(keep=3, dry_run=True) == 2
        assert memory.prune(keep=3) == 2
        # 1 and 2 warm-started others; of the rest, the better and then the newer one.
        assert [info.id for info in memory.list(namespace="default")] == [4, 2, 1]
        assert memory.prune(min_score=-0.5, namespace="default") == 1
        assert [info.id for info in memory.list()] == [6, 4, 2]
        assert memory.prune(max_age=timedelta(hours=1)) == 0
        assert memory.prune(max_age=timedelta(0)) == 3


@pytest.mark.parametrize(
    "conditions",
    [{}, {"keep": -1}, {"min_score": 0.5}, {"max_age": timedelta(-1)}, {"min_score": float("nan")}],
)
def test_pruning_without_sense_is_refused(place: Place, conditions: dict[str, Any]) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add(trace(1))
        with pytest.raises(TraceError):
            memory.prune(**conditions)
        assert len(memory.list()) == 1


def test_secure_delete_is_on(tmp_path: Path) -> None:
    """The test of bytes could pass by luck where SQLite was built with it."""
    with (
        LatentMemory(tmp_path / "m.sqlite3") as memory,
        memory.database.write() as connection,
    ):
        settings = ("secure_delete", "synchronous", "journal_mode", "foreign_keys", "temp_store")
        got = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in settings]
        assert got == [1, 2, "wal", 1, 2]
