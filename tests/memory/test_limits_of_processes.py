"""Limits beside other processes, and after kills: within them, and the file stops growing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from latent_memory import LatentMemory, Limits
from latent_memory.retention import compacting
from tests.support.memories import (
    Worker,
    held,
    recalled,
    trace,
    vector,
)
from tests.support.servers import Place


def _add(path: Path | str, first: int, count: int) -> list[int]:
    with LatentMemory(path) as memory:
        return [memory.add(trace(seed)) for seed in range(first, first + count)]


def test_writers_in_several_processes_keep_the_limit(place: Place) -> None:
    path = place("m.sqlite3")
    with LatentMemory(path) as memory:
        memory.set_limits(Limits(capacity=20))
        workers = [Worker(_add, path, 1000 * number, 25) for number in range(3)]
        most = 0
        while any(worker._process.is_alive() for worker in workers):
            most = max(most, len(held(memory)))
            time.sleep(0.01)
        ids = [id_ for worker in workers for id_ in worker.result()]
        assert len(set(ids)) == 75
        assert most <= 20
        assert set(held(memory)) <= set(ids)
        assert memory.erasures()[0].traces == 75 - len(held(memory))
        assert memory.verify() == []


_FLOOD = """
import sys
from latent_memory import LatentMemory
from tests.support.memories import trace
with LatentMemory(sys.argv[1]) as memory:
    seed = int(sys.argv[2])
    while True:
        print(memory.add(trace(seed)), flush=True)
        seed += 1
"""


def test_a_kill_in_the_middle_leaves_the_memory_within_its_limits(tmp_path: Path) -> None:
    """Every fourth add evicts; all that was acknowledged is there or in the record."""
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.set_limits(Limits(capacity=20))
    stored: list[int] = []
    for round_ in range(3):
        flood = subprocess.Popen(
            [sys.executable, "-c", _FLOOD, str(path), str(1000 * round_)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert flood.stdout is not None
        lines = [flood.stdout.readline() for _ in range(25 + 3 * round_)]
        os.kill(flood.pid, signal.SIGKILL)
        rest, _ = flood.communicate()
        stored += [int(line) for line in [*lines, *rest.split("\n")[:-1]]]
        with LatentMemory(path) as memory:
            ids = held(memory)
            assert 0 < len(ids) <= 20
            assert stored[-1] in ids
            (entry,) = memory.erasures()
            with memory.database.read() as connection:
                ever = connection.scalar(
                    text("SELECT seq FROM sqlite_sequence WHERE name='traces'")
                )
            assert entry.traces + len(ids) == ever
            assert sorted(recalled(memory, vector(0), k=50)) == ids
            assert memory.verify() == []


def test_a_full_memory_stops_growing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Emptied rows keep some room until the file is written anew: by the writer, if need be."""
    monkeypatch.setattr(compacting, "_FEW", 50)
    sizes: list[int] = []
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.set_limits(Limits(capacity=50))
        for round_ in range(24):
            memory.add_many(
                trace(25 * round_ + seed, rows=8, width=64, query="x" * 300) for seed in range(25)
            )
            memory.database.empty_log()
            sizes.append(memory.stats().database_bytes)
        assert max(sizes[12:]) <= 1.05 * max(sizes[:12])
        assert memory.verify() == []
        assert sorted(recalled(memory, vector(0), k=99)) == held(memory)
        with memory.database.read() as connection:
            deletions = connection.scalar(text("SELECT count(*) FROM deletions"))
        assert deletions is not None
        assert deletions < 5 * 50


def test_tidying_gives_room_back_and_other_processes_recall_as_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compacting, "_FEW", 10)
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory, LatentMemory(path) as other:
        memory.add_many(trace(seed, rows=16, width=256) for seed in range(100))
        assert len(recalled(other, vector(0), k=200)) == 100
        memory.database.empty_log()
        size = memory.stats().database_bytes
        memory.set_limits(Limits(capacity=20))
        assert memory.tidy(dry_run=True) == memory.tidy(dry_run=True)
        tidied = memory.tidy()
        assert (tidied.expired, tidied.evicted, tidied.compacted) == (0, 81, True)
        assert memory.stats().database_bytes < size / 2
        assert sorted(recalled(other, vector(0), k=200)) == held(memory)
        assert memory.tidy().compacted is False
        assert memory.verify() == []
