"""Several processes on one server, which crashes meanwhile: nothing is lost, nothing invented."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from latent_memory import LatentMemory, LatentMemoryError, StorageError
from latent_memory.database import NightHeldError
from latent_memory.priors.nights import PUBLISHED, list_nights
from latent_memory.store import Mode
from tests.crash.run import run
from tests.support.memories import SHELF, Worker, held, in_namespace, recalled, trace, vector
from tests.support.servers import Server, fresh_name

COUNT = 60
MANY = 1000
DAY = "day"  # the namespace that has a night


@pytest.fixture
def url(server: Server) -> Iterator[str]:
    name = fresh_name()
    url = server.schema(name)
    LatentMemory(url).close()
    yield url
    server.drop(name)


def opened(url: str, mode: Mode = "read-write") -> LatentMemory:
    """Open a memory, if need be when the server is there again."""
    while True:
        try:
            return LatentMemory(url, mode=mode)
        except StorageError:
            time.sleep(0.05)


def write(url: str, first: int, count: int) -> tuple[dict[int, int], int]:
    """Add traces one by one; return what was acknowledged, and how many answers had no memory."""
    stored, without = dict[int, int](), 0
    with opened(url) as memory:
        for seed in range(first, first + count):
            while True:
                try:
                    stored[memory.add(trace(seed))] = seed
                    break
                except StorageError:
                    without += 1
                    time.sleep(0.05)
    return stored, without


def forget(url: str, count: int) -> list[int]:
    """Store and forget traces of another namespace; return their ids."""
    gone: list[int] = []
    shelf = in_namespace("to be forgotten")
    with opened(url) as memory:
        for seed in range(count):
            try:
                id_ = memory.add(trace(seed, shelf=shelf))
                gone.append(id_)
                memory.forget(namespace=shelf.namespace)
            except StorageError:
                time.sleep(0.05)
    return gone


def read(url: str, seconds: float) -> int:
    """Recall all the time; return how often that gave something. What is found is whole."""
    until, found = time.monotonic() + seconds, 0
    with opened(url, "read") as memory:
        while time.monotonic() < until:
            try:
                for one in memory.recall(vector(found), shelf=SHELF, k=3):
                    got = one.stored.trace
                    seed = int(str(got.query).split()[1].rstrip("?"))
                    assert np.array_equal(got.embedding, vector(seed))
                    found += 1
            except StorageError:
                time.sleep(0.05)
    return found


def night(url: str) -> bool:
    """Store a day and run nights until one publishes; return whether its prior can be used."""
    from latent_agent.nights.night import consolidate  # torch is slow to import
    from tests.support.night_world import day, job, usable_prior

    with opened(url) as memory:
        while True:
            try:
                before = len(held(memory, DAY))
                shelf = day(memory, 20 if before else 120, start=before, namespace=DAY)
                if consolidate(job(memory, shelf)).verdict == PUBLISHED:
                    return usable_prior(memory, shelf) is not None
            except LatentMemoryError:
                time.sleep(0.05)


def verdicts(memory: LatentMemory) -> list[str]:
    return [one.result.verdict if one.result else "" for one in list_nights(memory.database)]


def work_at_once(
    server: Server, url: str, count: int, seconds: float, *, at_night: bool = False
) -> None:
    writers = [Worker(write, url, 10_000 * number, count) for number in range(4)]
    others = [Worker(read, url, seconds), Worker(read, url, seconds)]
    forgetting = Worker(forget, url, count // 10)
    consolidating = [Worker(night, url)] if at_night else []
    with LatentMemory(url) as memory:
        while len(held(memory)) < count // 2 or (at_night and not verdicts(memory)):
            time.sleep(0.05)
        server.stop()
        with pytest.raises(StorageError, match="must answer"):
            memory.recall(vector(1), shelf=SHELF)
        time.sleep(0.2)
        server.start()
        results = [writer.result(300) for writer in writers]
        assert all(worker.result(300) > 0 for worker in others)
        assert all(one.result(300) for one in consolidating)
        assert verdicts(memory).count(PUBLISHED) == len(consolidating)
        gone = forgetting.result(300)
        memory.forget(namespace="to be forgotten")  # what the crash left of it
        stored = {id_: seed for some, _ in results for id_, seed in some.items()}
        assert len(stored) == 4 * count
        assert sum(without for _, without in results) > 0
        there = {
            one.id: int(str(one.trace.query).split()[1].rstrip("?")) for one in memory.stream(SHELF)
        }
        assert stored.items() <= there.items()  # nothing acknowledged is lost
        # A commit whose answer the crash swallowed may be there twice: it was tried again.
        assert sorted(set(there.values())) == sorted(stored.values())
        assert len(there) - len(stored) <= 4
        assert not set(gone) & set(there)
        assert memory.verify() == []


def test_four_writers_two_readers_and_a_crash(server: Server, url: str) -> None:
    work_at_once(server, url, COUNT, 6)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_four_writers_of_a_thousand_traces_each_and_a_night(server: Server, url: str) -> None:
    work_at_once(server, url, MANY, 30, at_night=True)


def test_nothing_is_lost_and_nothing_invented_by_kills(server: Server, tmp_path: Path) -> None:
    name = fresh_name()
    *rounds, summary = run(6, tmp_path / "crash", 5, server.schema(name))
    assert len(rounds) == 6
    assert summary.startswith("6 kills in")
    server.drop(name)


HOLD = """
import sys
from latent_memory import LatentMemory
from tests.support.memories import trace
with LatentMemory(sys.argv[1]) as memory:
    with memory.database.night_lock(), memory.database.write() as connection:
        connection.exec_driver_sql("INSERT INTO erasures VALUES (9, 1, 1, 'half done', 1, 1)")
        print("held", flush=True)
        sys.stdin.read()
"""


def test_locks_of_a_killed_process_are_free(url: str) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with LatentMemory(url) as memory:
        with pytest.raises(NightHeldError, match=f"process {holder.pid} on "):
            memory.database.night_lock().__enter__()
        os.kill(holder.pid, signal.SIGKILL)
        holder.communicate()
        id_ = memory.add(trace(1), within=10)
        with memory.database.night_lock():
            assert recalled(memory, vector(1)) == [id_]
        assert memory.erasures() == []


def test_a_forked_process_has_connections_of_its_own(url: str) -> None:
    with LatentMemory(url) as memory:
        first = memory.add(trace(1))
        child = os.fork()
        if child == 0:
            try:
                memory.add(trace(2))
                os._exit(0 if recalled(memory, vector(1), k=1) == [first] else 1)
            except BaseException:
                os._exit(2)
        third = memory.add(trace(3))
        assert os.waitpid(child, 0)[1] == 0
        assert len(memory.list()) == 3
        assert recalled(memory, vector(3), k=1) == [third]
