"""Nights that are locked out, stopped or killed: the champion stays, and the next one succeeds."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from latent_agent.errors import (
    NightRunningError,
    NightStoppedError,
    SettingError,
)
from latent_agent.nights.job import Watch
from latent_agent.nights.lock import night_lock
from latent_agent.nights.night import consolidate
from latent_agent.nights.scheduler import ConsolidationScheduler
from latent_agent.recall.active_prior import ActivePrior
from latent_memory import LatentMemory, Shelf
from latent_memory.priors.nights import list_nights
from latent_memory.priors.priors import active_prior
from latent_memory.sqlite import priors_folder
from tests.support.night_world import (
    day,
    job,
    open_at,
)

ROOT = Path(__file__).parents[2]


def now(memory: LatentMemory, shelf: Shelf) -> int | None:
    found = active_prior(memory.database, shelf)
    return None if found is None else found.version


def test_two_nights_at_once_the_second_says_who_holds_the_lock(memory: LatentMemory) -> None:
    shelf = day(memory)
    with (
        night_lock(memory.database),
        pytest.raises(NightRunningError, match=f"process {os.getpid()}"),
    ):
        consolidate(job(memory, shelf))
    assert consolidate(job(memory, shelf)).verdict == "published"


@pytest.mark.parametrize("stage", ["training", "judging"])
def test_a_stopped_night_ends_and_the_next_one_succeeds(memory: LatentMemory, stage: str) -> None:
    shelf = day(memory)
    stop = threading.Event()

    def report(at: str, done: int, total: int) -> None:
        if at == stage and done > 2:
            stop.set()

    with pytest.raises(NightStoppedError, match="nothing was published"):
        consolidate(job(memory, shelf, watch=Watch(report=report, stop=stop)))
    (night,) = list_nights(memory.database)
    assert night.result is not None
    assert night.result.verdict == "stopped"
    assert now(memory, shelf) is None
    assert consolidate(job(memory, shelf)).verdict == "published"


@pytest.mark.slow
def test_killed_at_random_moments_the_champion_stays_and_the_next_night_succeeds(
    tmp_path: Path,
) -> None:
    rng = random.Random(0)
    with open_at(tmp_path) as memory, nights_to_kill(memory.path) as kill_after:
        shelf = day(memory)
        began = time.monotonic()
        consolidate(job(memory, shelf))
        whole = time.monotonic() - began  # on a busy machine nights take longer
        for _ in range(int(os.environ.get("NIGHT_KILLS", "4"))):
            kill_after(rng.uniform(0.05, 1.5 * whole))
            champion = active_prior(memory.database, shelf)
            assert champion is not None
            ActivePrior.of(champion, shelf, memory.database)  # whole, or it raises
        day(memory, 8, start=50_000)
        assert consolidate(job(memory, shelf)).verdict in ("published", "refused")
        verdicts = {night.result and night.result.verdict for night in list_nights(memory.database)}
        assert None not in verdicts  # no night seems to run still
        assert not list(priors_folder(memory.path).glob("*.tmp"))


@contextmanager
def nights_to_kill(path: Path) -> Generator[Callable[[float], None]]:
    """Give what runs nights on a memory and kills them after so many seconds."""
    command = [sys.executable, "-m", "tests.support.night_process", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def kill_after(delay: float) -> None:
            stdin.write("go\n")
            stdin.flush()
            child = int(stdout.readline())
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            assert stdout.readline() == "gone\n"

        yield kill_after
        stdin.close()


def test_in_an_application_nights_come_by_themselves_and_calls_go_on(
    memory: LatentMemory,
) -> None:
    shelf = day(memory, 60)
    reports = []
    came = threading.Event()

    def done(report):
        reports.append(report)
        came.set()

    with ConsolidationScheduler(job(memory, shelf), every=100, look=1, done=done):
        time.sleep(1.5)
        assert not reports
        day(memory, 60, start=60)  # goes on while a night may run
        assert came.wait(30)
    assert reports[0].verdict == "published"
    with pytest.raises(SettingError, match="every must be at least 1"):
        ConsolidationScheduler(job(memory, shelf), every=0)
