"""Several processes on one memory, and processes that fork."""

import multiprocessing
import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from latent_memory import LatentMemory, StorageError
from latent_memory.sqlite import log_bytes
from latent_memory.store import Mode
from tests.support.memories import SHELF, Worker, recalled, trace, vector

PATIENCE = 200.0  # a hang is noticed, a slow machine is not


def write(path: Path, start: int) -> dict[int, int]:
    with LatentMemory(path) as memory:
        return {memory.add(trace(number)): number for number in range(start, start + 50)}


def recall_until_all_are_there(path: Path, mode: Mode) -> int:
    seen, rounds = 0, 0
    with LatentMemory(path, mode=mode) as memory:
        while seen < 200:
            found = memory.recall(vector(rounds), shelf=SHELF, k=1000)
            ids = [one.stored.id for one in found]
            assert len(ids) == len(set(ids)) >= seen
            for one in found[:3]:
                number = int(str(one.stored.trace.query).split()[1].rstrip("?"))
                np.testing.assert_array_equal(one.stored.trace.embedding, vector(number))
            seen, rounds = len(ids), rounds + 1
    return seen


def spin(until_closed: Path) -> None:
    while until_closed.exists():
        pass


@pytest.fixture
def busy_machine(tmp_path: Path) -> Generator[None]:
    """Processes that only burn time, twice as many as processors up to four."""
    at_work = tmp_path / "at-work"
    at_work.touch()
    spinning = [Worker(spin, at_work) for _ in range(2 * min(4, os.cpu_count() or 1))]
    try:
        yield
    finally:
        at_work.unlink()
        for one in spinning:
            one.result()


@pytest.mark.usefixtures("busy_machine")
def test_four_write_while_two_recall_on_a_busy_machine(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite3"
    LatentMemory(path).close()
    readers = [Worker(recall_until_all_are_there, path, mode) for mode in ("read", "read-write")]
    writers = [Worker(write, path, 1000 * number) for number in range(1, 5)]
    stored = {id_: number for writer in writers for id_, number in writer.result(PATIENCE).items()}
    assert [reader.result(PATIENCE) for reader in readers] == [200, 200]
    with LatentMemory(path) as memory:
        assert len(stored) == len(memory.list(limit=1000)) == 200
        for id_, number in stored.items():
            assert recalled(memory, vector(number), k=1) == [id_]
        assert memory.verify() == []


def hold(path: Path, commits: int, begun: Event) -> None:
    """Have the writer's lock nearly all the time, a tenth of a second for each commit."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for number in range(commits):
            connection.execute("BEGIN IMMEDIATE")
            begun.set()
            connection.execute(f"PRAGMA user_version = {number}")
            time.sleep(0.1)
            connection.execute("COMMIT")


def test_a_writer_waits_as_long_as_others_get_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latent_memory.sqlite.waiting.BUSY_SECONDS", 0.5)
    monkeypatch.setattr("latent_memory.sqlite.waiting.attempts", one_attempt_at_the_end)
    with LatentMemory(tmp_path / "m.sqlite3") as memory, ThreadPoolExecutor(1) as pool:
        begun = Event()
        others = pool.submit(hold, memory.path, 30, begun)
        assert begun.wait(PATIENCE)
        assert memory.add(trace(1)) == 1
        others.result()


def one_attempt_at_the_end(seconds: float, pause: float) -> Iterator[None]:
    """As unlucky as can be: the lock is taken whenever one looks, but for the last time."""
    yield
    time.sleep(seconds)


def test_a_lock_that_is_never_released_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latent_memory.sqlite.waiting.BUSY_SECONDS", 0.5)
    with (
        LatentMemory(tmp_path / "m.sqlite3") as memory,
        closing(sqlite3.connect(memory.path, isolation_level=None)) as other,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another process kept its lock"):
            memory.add(trace(1))
        other.execute("ROLLBACK")
        assert memory.add(trace(1)) == 1


def test_one_who_has_little_time_gives_up_soon(tmp_path: Path) -> None:
    """Neither another process's lock nor another thread's is waited for beyond that time."""
    begun, enough = Event(), Event()

    def write(memory: LatentMemory) -> None:
        with memory.database.write():
            begun.set()
            assert enough.wait(PATIENCE)

    with (
        LatentMemory(tmp_path / "m.sqlite3") as memory,
        closing(sqlite3.connect(memory.path, isolation_level=None)) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another process kept its lock"):
            memory.add(trace(1), within=0.2)
        other.execute("ROLLBACK")
        thread = pool.submit(write, memory)
        assert begun.wait(PATIENCE)
        with pytest.raises(StorageError, match=r"other threads must leave .* 0\.2 seconds"):
            memory.add(trace(1), within=0.2)
        enough.set()
        thread.result()
        assert memory.add(trace(1), within=PATIENCE) == 1


def test_nobody_waits_for_one_who_waits_for_a_reader(tmp_path: Path) -> None:
    """What was forgotten leaves the log once the reader has gone; others write meanwhile."""
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory, LatentMemory(path) as other, ThreadPoolExecutor(1) as pool:
        memory.add_many(trace(number) for number in range(3))
        with other.database.read():
            forgotten = pool.submit(memory.forget, ids=[2])
            while other.get(2):
                time.sleep(0.01)
            ids = [other.add(trace(number)) for number in range(3, 8)]
            assert not forgotten.done()
        assert forgotten.result() == 1
        assert log_bytes(path) == 0
        assert ids == [4, 5, 6, 7, 8]


def make(path: Path, at: float) -> int:
    time.sleep(max(0.0, at - time.time()))
    with LatentMemory(path) as memory:
        return memory.add(trace(1))


def test_many_may_make_the_same_memory_at_once(tmp_path: Path) -> None:
    for turn in range(3):
        at = time.time() + 0.3
        makers = [Worker(make, tmp_path / f"new-{turn}" / "m.sqlite3", at) for _ in range(6)]
        assert sorted(maker.result() for maker in makers) == [1, 2, 3, 4, 5, 6]


def in_child(work: Callable[[], None]) -> int:
    """Fork, do work in the child, return the child's process id."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    return child


def wait(child: int) -> None:
    assert os.waitpid(child, 0)[1] == 0


def test_a_fork_may_go_on_with_the_memory(tmp_path: Path) -> None:
    """What the child adds survives, though the parent closes the memory meanwhile."""
    path = tmp_path / "m.sqlite3"
    memory = LatentMemory(path)
    memory.add_many(trace(number) for number in range(20))
    assert recalled(memory, vector(3), k=1) == [4]
    ready, go = os.pipe()
    added, tell = os.pipe()

    def work() -> None:
        ids = [memory.add(trace(100))]
        os.write(tell, b"x")
        os.read(ready, 1)  # the parent has closed it now
        ids.append(memory.add(trace(101)))
        assert ids == [21, 22]
        assert recalled(memory, vector(100), k=1) == [21]
        memory.close()

    child = in_child(work)
    os.read(added, 1)
    assert recalled(memory, vector(100), k=1) == [21]
    memory.close()
    os.write(go, b"x")
    wait(child)
    with LatentMemory(path) as memory:
        assert len(memory.list(limit=100)) == 22
        assert recalled(memory, vector(101), k=1) == [22]
        assert memory.verify() == []


def test_a_fork_keeps_the_locks_apart(tmp_path: Path) -> None:
    """SQLite's bookkeeping of locks is copied by a fork, the locks are not: none may be open."""
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add(trace(0))
        for _ in range(3):

            def work() -> None:
                for number in range(20):
                    memory.add(trace(number))

            children = [in_child(work) for _ in range(3)]
            for number in range(20):
                memory.add(trace(number))
            for child in children:
                wait(child)
        assert len(memory.list(limit=1000)) == 1 + 3 * 4 * 20
        assert memory.verify() == []


def add_some(memory: LatentMemory, start: int) -> list[int]:
    return [memory.add(trace(start + number)) for number in range(10)]


def pooled(start: int) -> list[int]:
    assert SHARED is not None
    return add_some(SHARED, start)


SHARED: LatentMemory | None = None


def test_a_pool_of_forked_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        monkeypatch.setattr(f"{__name__}.SHARED", memory)
        add_some(memory, 0)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            ids = [id_ for ids in pool.map(pooled, [100, 200, 300, 400]) for id_ in ids]
            pool.close()
            pool.join()
        assert sorted(ids) == list(range(11, 51))
        assert recalled(memory, vector(409), k=1) != []
        assert memory.verify() == []
