"""The soak in short, and whether its checks see what they should."""

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.errors import SettingError
from latent_agent.soak.check import findings
from latent_agent.soak.ledger import Ledger
from latent_agent.soak.plan import NAMESPACES
from latent_agent.soak.watch import Sample, growth
from latent_memory import LatentMemory
from tests.memories import in_namespace, trace


@pytest.mark.timeout(900)
def test_twenty_seconds_of_everything(tmp_path: Path) -> None:
    arguments = ["--folder", str(tmp_path / "soak"), "--minutes", "0.33", "--json"]
    picture = tmp_path / "memory.png"
    done = CliRunner().invoke(app, ["soak", *arguments, "--plot", str(picture)])
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)
    assert figures["problems"] == []
    assert set(figures["deeds"]) == {
        "batch", "call", "forget", "hostile call", "hurried call", "index deletion", "night",
        "reopening", "stream",
    }  # fmt: skip
    assert figures["acknowledged"] > figures["forgotten"] > 0
    assert not figures["memory"]["judged"]
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["soak", "--folder", str(tmp_path)])
    assert isinstance(done.exception, SettingError)
    assert "must be new or empty" in str(done.exception)


def samples(megabytes: np.ndarray) -> list[Sample]:
    return [Sample(2.0 * n, int(size * 1e6), 0) for n, size in enumerate(megabytes)]


def test_growth_is_told_from_noise_and_from_a_warm_up() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 30, 300)
    noise[rng.integers(0, 300, 20)] += 1000  # a call now and then that needs much
    warm = np.minimum(np.arange(300) / 80, 1) * 400
    assert growth(samples(500 + warm + noise)).steady
    leak = growth(samples(500 + warm + noise + np.arange(300) * 0.5))
    assert not leak.steady
    assert leak.slope * 2 / 1e6 == pytest.approx(0.5, rel=0.25)
    assert growth(samples((500 + np.arange(300.0))[:60])).steady, "two minutes are too short"


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


def test_what_agrees_is_no_finding(filled: tuple[Path, Ledger]) -> None:
    path, ledger = filled
    ledger.recalled(NAMESPACES[0], [1, 3, 5])
    assert findings(path, ledger) == []


def test_what_does_not_agree_is_found(filled: tuple[Path, Ledger]) -> None:
    path, ledger = filled
    with LatentMemory(path) as memory:
        memory.forget(ids=[1])  # nobody was told
        made = trace(50, shelf=in_namespace(NAMESPACES[2]))
        ledger.stored(memory.add(made), NAMESPACES[3], made.query or "")
        memory.add(replace(made, query="nobody knows it"))
    ledger.forgotten([2])
    ledger.recalled(NAMESPACES[0], [4])
    told = findings(path, ledger)
    for part in (
        "acknowledged, and lost: [1]", "forgotten, and still there: [2]",
        "though no call was told of it: [8]", "in another namespace, or of another question: [7]",
        "was given trace 4, which is not its own",
    ):  # fmt: skip
        assert any(part in line for line in told), told


def test_damage_is_found(filled: tuple[Path, Ledger]) -> None:
    path, ledger = filled
    with LatentMemory(path) as memory, memory.database.write() as connection:
        connection.exec_driver_sql("UPDATE traces SET steps = 99 WHERE id = 5")
    (told,) = findings(path, ledger)
    assert told.startswith("verify: ")
    assert "trace 5 is damaged" in told


def test_no_two_threads_forget_the_same(filled: tuple[Path, Ledger]) -> None:
    _, ledger = filled
    for number in range(100, 200):
        ledger.stored(number, NAMESPACES[0], "")
    rng = random.Random(0)
    chosen = [id_ for _ in range(50) for id_ in ledger.leaving(NAMESPACES[0], rng)]
    assert len(chosen) == len(set(chosen)) == 43  # down to sixty of 103
