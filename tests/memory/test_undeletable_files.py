"""Files that may hold what was erased, and cannot be deleted: a folder lies in each one's place."""

import logging
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select

from latent_memory import LatentMemory, Limits, StorageError
from latent_memory.index.index_state import snapshot_path
from latent_memory.sqlite import index_folder
from latent_memory.tables import shelves
from tests.support.memories import age, in_namespace, trace


def held(memory: LatentMemory) -> list[int]:
    return [one.id for one in memory.list()]


def block_index(memory: LatentMemory, namespace: str) -> Path:
    """Let the index file of a namespace's shelf be one that nobody can delete."""
    wanted = select(shelves.c.id).where(shelves.c.namespace == namespace)
    with memory.database.read() as connection:
        file = snapshot_path(index_folder(memory.path), connection.execute(wanted).scalar_one())
    file.mkdir(parents=True)
    return file


def block_backup(memory: LatentMemory) -> Path:
    file = memory.path.with_name(f"{memory.path.name}.backup-0003-20260101T000000Z")
    file.mkdir()
    return file


def test_what_is_evicted_costs_no_new_trace(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add(trace(1, shelf=in_namespace("ann")))
        file = block_index(memory, "ann")
        memory.set_limits(Limits(total=1))
        with caplog.at_level(logging.WARNING):
            new = memory.add(trace(2, shelf=in_namespace("ben")))
        assert held(memory) == [new]
    assert f"{file} may hold what is erased, and cannot be deleted" in caplog.text


def test_what_expires_costs_no_new_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        age(memory, [memory.add(trace(1))], days=2)
        file = block_backup(memory)
        memory.set_limits(Limits(max_age=timedelta(days=1)))
        with caplog.at_level(logging.WARNING):
            assert memory.tidy().expired == 1
            age(memory, [memory.add(trace(2))], days=2)
        assert str(file) in caplog.text
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        new = memory.add(trace(3))
        assert held(memory) == [new]


def test_what_was_to_be_forgotten_is_gone_and_the_file_is_named(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add_many(trace(seed, shelf=in_namespace("ann")) for seed in range(3))
        files = block_backup(memory), block_index(memory, "ann")
        with pytest.raises(
            StorageError, match=r"cannot be deleted; .* delete what is left"
        ) as raised:
            memory.forget(namespace="ann")
        assert all(repr(str(file)) in str(raised.value) for file in files)
        assert held(memory) == []
        assert [entry.traces for entry in memory.erasures()] == [3]
        for file in files:
            file.rmdir()
        assert memory.forget(namespace="ann") == 0
