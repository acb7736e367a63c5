"""The index on disk against the database: whatever happens to it, recall stays right."""

import logging
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from latent_memory import IndexSettings, LatentMemory
from latent_memory.index import index_state
from latent_memory.index.snapshot import load_snapshot, save_snapshot
from tests.support.memories import SHELF, cosines, in_namespace, recalled, trace, vector

# Lists from 40 vectors on, so that there are files; all searched, so that recall is exact; nothing
# centred, since the mean is that of the vectors an index was built from.
LISTS = IndexSettings(centre_from=10**9, flat_until=40, members=2, probes=10_000)
COUNT = 120


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a memory with a snapshot of its index; it is only copied."""
    path = tmp_path_factory.mktemp("made") / "m.sqlite3"
    with LatentMemory(path, index=LISTS) as memory:
        memory.add_many(trace(number) for number in range(COUNT))
        recalled(memory, vector(0))
    assert snapshot(path).is_file()
    return path.parent


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A memory with a snapshot of its index."""
    return shutil.copytree(made, tmp_path, dirs_exist_ok=True) / "m.sqlite3"


def snapshot(path: Path) -> Path:
    (file,) = (path.parent / f"{path.name}.index").glob("*.index")
    return file


def check_recall(memory: LatentMemory, numbers: list[int]) -> None:
    """Recall must be what comparing everything gives."""
    vectors = np.stack([vector(number) for number in numbers])
    for query in (vector(5000), vector(5001), vector(numbers[3])):
        best = np.argsort(-cosines(vectors, query))[:5]
        expected = [f"question {numbers[at]}?" for at in best]
        found = memory.recall(query, shelf=SHELF, k=5)
        assert [one.stored.trace.query for one in found] == expected


def test_the_snapshot_is_used_when_nothing_happened(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = snapshot(path).read_bytes()
    with caplog.at_level(logging.WARNING), LatentMemory(path, index=LISTS) as memory:
        check_recall(memory, list(range(COUNT)))
    assert caplog.text == ""
    assert snapshot(path).read_bytes() == before


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "flipped": flip,
    "no index": lambda file: file.write_bytes(b"GIF89a" * 500),
    "folder deleted": lambda file: shutil.rmtree(file.parent),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_noticed_and_rebuilt(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    DAMAGE[damage](snapshot(path))
    with caplog.at_level(logging.WARNING), LatentMemory(path, index=LISTS) as memory:
        check_recall(memory, list(range(COUNT)))
        assert memory.verify() == []
    if "deleted" not in damage:
        assert "rebuilt" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING), LatentMemory(path, index=LISTS) as memory:
        check_recall(memory, list(range(COUNT)))
    assert caplog.text == ""


def test_another_models_file_is_noticed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    other = in_namespace("other")
    with LatentMemory(path, index=LISTS) as memory:
        memory.add_many(trace(1000 + number, shelf=other) for number in range(COUNT))
        recalled(memory, vector(0), other)
    theirs, ours = (
        path.parent / f"{path.name}.index" / "2.index",
        path.parent / "m.sqlite3.index" / "1.index",
    )
    shutil.copy(theirs, ours)
    with caplog.at_level(logging.WARNING), LatentMemory(path, index=LISTS) as memory:
        check_recall(memory, list(range(COUNT)))
    assert "it belongs to" in caplog.text


def test_another_dimensions_file_is_noticed(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "other" / "m.sqlite3"
    with LatentMemory(place, index=LISTS) as memory:
        memory.add_many(trace(number, embedding=vector(number, 24)) for number in range(COUNT))
        recalled(memory, vector(0, 24))
    shutil.copy(snapshot(place), snapshot(path))
    with caplog.at_level(logging.WARNING), LatentMemory(path, index=LISTS) as memory:
        check_recall(memory, list(range(COUNT)))
    assert "rebuilt" in caplog.text


def test_an_older_generation_is_noticed(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """As after a copy of the files was brought back in part."""
    old = snapshot(path).read_bytes()
    with LatentMemory(path, index=LISTS) as memory:
        memory.forget(ids=range(1, 41))
        memory.add_many(trace(number) for number in range(200, 260))
        check_recall(memory, [*range(40, COUNT), *range(200, 260)])
    assert snapshot(path).read_bytes() != old
    snapshot(path).write_bytes(old)
    with caplog.at_level(logging.WARNING), LatentMemory(path, index=LISTS) as memory:
        check_recall(memory, [*range(40, COUNT), *range(200, 260)])
    assert "generation 1, the database of 2" in caplog.text


def test_an_older_database_drops_the_newer_file(
    path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A copy of the database is brought back, and its ids are given to other traces."""
    copy = tmp_path / "copy"
    shutil.copy(path, copy)
    with LatentMemory(path, index=LISTS) as memory:
        memory.add_many(trace(number) for number in range(300, 400))
        recalled(memory, vector(0))
    shutil.copy(copy, path)
    with caplog.at_level(logging.WARNING), LatentMemory(path, index=LISTS) as memory:
        memory.add_many(trace(number) for number in range(500, 600))
        check_recall(memory, [*range(COUNT), *range(500, 600)])
    assert "rebuilt" in caplog.text


@pytest.mark.parametrize("mode", ["read-write", "read"])
def test_a_snapshot_that_is_being_saved_is_no_other_generation(
    path: Path, mode: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A save has written its file and not committed, or committed since the shelf was read."""
    written, opened = threading.Event(), threading.Event()

    def save(*given: Any) -> None:
        save_snapshot(*given)
        written.set()
        assert opened.wait(60)

    def look(*given: Any) -> Any:
        opened.set()
        if mode == "read":
            saving.join()
        return load_snapshot(*given)

    with (
        caplog.at_level(logging.WARNING),
        LatentMemory(path, index=LISTS) as memory,
        LatentMemory(path, index=LISTS, mode=mode) as other,
    ):
        monkeypatch.setattr(index_state, "save_snapshot", save)
        monkeypatch.setattr(index_state, "load_snapshot", look)
        saving = threading.Thread(target=memory.rebuild)
        saving.start()
        assert written.wait(60)
        check_recall(other, list(range(COUNT)))
        saving.join()
    assert caplog.text == ""


def test_a_stale_snapshot_catches_up(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Another process, with no snapshots, has added and forgotten since."""
    with LatentMemory(path) as memory:
        memory.add_many(trace(number) for number in range(COUNT, COUNT + 10))
        memory.forget(ids=[1, 2, 3, COUNT + 1])
    with caplog.at_level(logging.WARNING), LatentMemory(path, index=LISTS) as memory:
        check_recall(memory, [*range(3, COUNT), *range(COUNT + 1, COUNT + 10)])
        assert memory.verify() == []
    assert caplog.text == ""


def test_the_index_grows_from_flat_to_lists_and_back(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3", index=LISTS) as memory:
        for number in range(100):
            memory.add(trace(number))
            if number % 9 == 5:
                check_recall(memory, list(range(number + 1)))
        assert memory.stats().index_bytes > 0
        memory.forget(ids=range(1, 91))
        check_recall(memory, list(range(90, 100)))
        assert memory.verify() == []


def test_rebuilding_asks_only_the_database(path: Path) -> None:
    flip(snapshot(path))
    with LatentMemory(path, index=LISTS) as memory:
        assert memory.rebuild() == COUNT
        check_recall(memory, list(range(COUNT)))


def test_a_small_memory_needs_no_file(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add_many(trace(number) for number in range(50))
        recalled(memory, vector(0))
    assert [file.name for file in tmp_path.iterdir()] == ["m.sqlite3"]


def test_an_index_that_cannot_be_written_costs_no_recall(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "m.sqlite3.index").write_text("a file where the folder should be")
    with (
        caplog.at_level(logging.WARNING),
        LatentMemory(tmp_path / "m.sqlite3", index=LISTS) as memory,
    ):
        memory.add_many(trace(number) for number in range(COUNT))
        check_recall(memory, list(range(COUNT)))
    assert "could not be written" in caplog.text
