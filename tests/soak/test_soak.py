"""The soak in short, and whether its checks see what they should."""

import ctypes
import json
import random
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from latent_agent.errors import SettingError
from latent_memory import LatentMemory
from tests.soak.__main__ import app
from tests.soak.check import findings
from tests.soak.gate import Gate
from tests.soak.held import allocated_bytes, python_blocks
from tests.soak.ledger import Ledger
from tests.soak.plan import NAMESPACES
from tests.soak.watch import Growth, Rest, Sample, growth
from tests.support.memories import in_namespace, trace


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_twenty_seconds_of_everything(tmp_path: Path) -> None:
    arguments = ["--folder", str(tmp_path / "soak"), "--minutes", "0.33", "--json"]
    picture = tmp_path / "memory.png"
    done = CliRunner().invoke(app, [*arguments, "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["problems"] == []
    assert set(figures["actions"]) == {
        "batch", "call", "forget", "hostile call", "hurried call", "index deletion",
        "newcomer", "night", "reopening", "stream",
    }  # fmt: skip
    assert figures["acknowledged"] > figures["forgotten"] > 0
    assert not any(change["judged"] for change in figures["memory"].values())
    rests = [sample for sample in figures["samples"] if sample["rest"] is not None]
    assert len(rests) >= 2
    assert all(0 < sample["rest"]["heap"] <= sample["resident"] for sample in rests)
    assert all(sample["rest"]["blocks"] > 0 for sample in rests)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["--folder", str(tmp_path)])
    assert isinstance(done.exception, SettingError)
    assert "must be new or empty" in str(done.exception)


def samples(megabytes: np.ndarray, every: float = 2.0) -> list[Sample]:
    sizes = [int(size * 1e6) for size in megabytes]
    return [Sample(every * n, size, Rest(size, size // 100), 0) for n, size in enumerate(sizes)]


def at_rest(taken: list[Sample]) -> Growth:
    one, other = (growth(taken)[f"{name} at rest"] for name in ("C heap", "Python blocks"))
    assert one.steady == other.steady
    assert one.share == pytest.approx(other.share, abs=1e-4)
    return one


def test_growth_is_distinguished_from_noise_and_from_a_warm_up() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 30, 300)
    noise[rng.integers(0, 300, 20)] += 1000  # a call now and then that needs much
    warm = np.minimum(np.arange(300) / 80, 1) * 400
    assert at_rest(samples(500 + warm + noise)).steady
    leak = at_rest(samples(500 + warm + noise + np.arange(300) * 0.5))
    assert not leak.steady
    assert leak.slope * 2 / 1e6 == pytest.approx(0.5, rel=0.25)
    leaking = 500 + np.arange(300.0)
    assert at_rest(samples(leaking[:60])).steady, "two minutes are too short"
    assert growth(samples(leaking))["resident"].steady, "so are ten, for threads at work"
    assert not growth(samples(leaking, every=6.0))["resident"].steady


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="another C library")
@pytest.mark.parametrize("pieces", [(12_500, 500), (1_250_000, 5)], ids=["in the heap", "mapped"])
def test_allocated_memory_is_what_is_kept_and_not_what_is_free(pieces: tuple[int, int]) -> None:
    size, count = pieces
    before = allocated_bytes()
    kept = [np.ones(size) for _ in range(count)]
    assert allocated_bytes() - before == pytest.approx(50e6, rel=0.1)
    del kept[::2]  # so much is free, but between what is kept: it may stay resident
    assert allocated_bytes() - before == pytest.approx(8 * size * len(kept), rel=0.1)


def test_blocks_of_small_objects_are_counted() -> None:
    before = python_blocks()
    kept = [(n,) for n in range(100_000)]
    assert python_blocks() - before >= 100_000
    del kept
    assert python_blocks() - before < 50_000


def test_nobody_is_at_work_during_a_rest() -> None:
    gate, stop, at_work = Gate(), threading.Event(), [0] * 4

    def work(number: int) -> None:
        while not stop.is_set():
            with gate.work():
                at_work[number] = 1
                time.sleep(0.001)
                at_work[number] = 0

    threads = [threading.Thread(target=work, args=(n,)) for n in range(len(at_work))]
    for thread in threads:
        thread.start()
    worked = 0
    for _ in range(50):
        with gate.rest():
            assert at_work == [0] * 4
        time.sleep(0.002)
        worked += any(at_work)
    stop.set()
    for thread in threads:
        thread.join()
    assert worked


@pytest.fixture
def filled(tmp_path: Path):
    """A memory and a ledger that agree."""
    path, ledger = tmp_path / "m.sqlite3", Ledger()
    with LatentMemory(path) as memory:
        for number in range(6):
            name = NAMESPACES[number % 2]
            made = trace(number, shelf=in_namespace(name))
            ledger.stored(memory.add(made), name, made.query or "")
        memory.forget(ids=[3])
    ledger.forgotten([3])
    return path, ledger


def test_what_agrees_is_no_problem(filled: tuple[Path, Ledger]) -> None:
    path, ledger = filled
    ledger.recalled(NAMESPACES[0], [1, 3, 5])
    assert findings(path, ledger) == []


def test_what_does_not_agree_is_reported(filled: tuple[Path, Ledger]) -> None:
    path, ledger = filled
    with LatentMemory(path) as memory:
        memory.forget(ids=[1])  # the ledger does not know
        made = trace(50, shelf=in_namespace(NAMESPACES[2]))
        ledger.stored(memory.add(made), NAMESPACES[3], made.query or "")
        memory.add(replace(made, query="nobody knows it"))
    ledger.forgotten([2])
    ledger.recalled(NAMESPACES[0], [4])
    problems = findings(path, ledger)
    for part in (
        "acknowledged, and lost: [1]", "forgotten, and still there: [2]",
        "though no call reported it: [8]", "in another namespace, or of another question: [7]",
        "was given trace 4, which is not its own",
    ):  # fmt: skip
        assert any(part in line for line in problems), problems


def test_damage_is_reported(filled: tuple[Path, Ledger]) -> None:
    path, ledger = filled
    with LatentMemory(path) as memory, memory.database.write() as connection:
        connection.exec_driver_sql("UPDATE traces SET steps = 99 WHERE id = 5")
    (problem,) = findings(path, ledger)
    assert problem.startswith("verify: ")
    assert "trace 5 is damaged" in problem


def test_no_two_threads_forget_the_same(filled: tuple[Path, Ledger]) -> None:
    _, ledger = filled
    with ledger.spared(NAMESPACES[1]):
        assert ledger.leaving(NAMESPACES[1], random.Random(0)) == []
    for number in range(100, 300):
        ledger.stored(number, NAMESPACES[0], "")
    rng = random.Random(0)
    chosen = [id_ for _ in range(50) for id_ in ledger.leaving(NAMESPACES[0], rng)]
    assert len(chosen) == len(set(chosen)) == 83  # down to 120 of 203
