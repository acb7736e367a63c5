"""Nights that were cut short go on from what was done, unless what they were made from changed."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from latent_agent.errors import NightStoppedError, SettingError
from latent_agent.nights import night_run
from latent_agent.nights.job import NightJob, NightReport
from latent_agent.nights.night import consolidate
from latent_agent.nights.regression_set import Anchor
from latent_agent.nights.watch import Watch
from latent_agent.reward import Case, Reward, Score
from latent_memory import LatentMemory, Limits, Shelf
from latent_memory.priors.nights import count_new, list_nights
from latent_memory.priors.priors import kept_names, list_priors
from latent_memory.sqlite import priors_folder
from tests.support.memories import age
from tests.support.night_world import SEARCH, SETTINGS, day, job, open_at
from tests.support.servers import Place


def stopped(wanted: NightJob, stage: str, after: int) -> list[int]:
    """Run a night up to so many steps of a stage; return those that it did."""
    stop, done = threading.Event(), list[int]()

    def report(at: str, step: int, _total: int) -> None:
        if at == stage:
            done.append(step)
            if step >= after:
                stop.set()

    with pytest.raises(NightStoppedError, match="goes on from what was done"):
        consolidate(replace(wanted, watch=Watch(report=report, stop=stop)))
    return done


def going_on(wanted: NightJob) -> tuple[NightReport, dict[str, list[int]]]:
    """Run a night to its end; return its report, and the steps of each stage."""
    done: dict[str, list[int]] = {"training": [], "judging": []}
    watch = Watch(report=lambda stage, step, _total: done[stage].append(step))
    return consolidate(replace(wanted, watch=watch)), done


def weights(memory: LatentMemory, version: int) -> bytes:
    return memory.database.files.read(f"{version}.safetensors")


@pytest.fixture
def memory(place: Place) -> Iterator[LatentMemory]:
    """What a night has done is a file, or a row."""
    with LatentMemory(place("memory.sqlite3")) as opened:
        yield opened


@pytest.fixture
def whole(night_folder: Path) -> Any:
    """What a night comes to that is never cut short: its weights, its losses, its gate."""
    with open_at(night_folder) as memory:
        (night,) = list_nights(memory.database)
        assert night.result is not None
        return weights(memory, 1), night.result.losses, night.result.gate


@pytest.mark.parametrize("step", [1, 4, 7, 30])
def test_a_training_that_goes_on_ends_with_the_same_weights(
    memory: LatentMemory, whole: Any, step: int
) -> None:
    """In the first epoch, at its end, and in a later one."""
    night = job(memory, day(memory))
    stopped(night, "training", step)
    report, done = going_on(night)
    assert done["training"][0] == step + 2  # the step after which it was stopped is not lost
    assert report.figures["kept"] == {"updates": step + 1}
    (record,) = list_nights(memory.database)
    assert record.result is not None
    assert (weights(memory, 1), record.result.losses, record.result.gate) == whole
    assert kept_names(memory.database) == []


def test_a_gate_that_goes_on_asks_only_the_rest(memory: LatentMemory, whole: Any) -> None:
    night = job(memory, day(memory), at_once=1)
    asked = stopped(night, "judging", 9)
    report, done = going_on(night)
    assert done["training"] == []
    assert (asked, done["judging"]) == (list(range(1, 10)), list(range(10, 41)))
    assert report.figures["kept"]["replays"] == 9
    assert (report.verdict, report.version, report.night) == ("published", 1, 1)
    (record,) = list_nights(memory.database)
    assert record.result is not None
    assert (weights(memory, 1), record.result.losses, record.result.gate) == whole
    assert record.result.seconds > 0


def test_a_night_of_many_short_sittings_ends(memory: LatentMemory) -> None:
    night, sittings = job(memory, day(memory)), 0
    while sittings < 60:
        stop = threading.Event()
        watch = Watch(report=_after(4, stop), stop=stop)
        try:
            report = consolidate(replace(night, watch=watch))
            break
        except NightStoppedError:
            sittings += 1
    else:
        pytest.fail("it never ends")
    assert report.verdict == "published"
    assert sittings > 10
    assert len(list_nights(memory.database)) == 1


def _after(steps: int, stop: threading.Event) -> Callable[[str, int, int], None]:
    left = iter(range(steps - 1))

    def report(*_: object) -> None:
        if next(left, None) is None:
            stop.set()

    return report


def test_anchors_that_were_asked_are_not_asked_again(memory: LatentMemory) -> None:
    anchors = [Anchor(question=f"Item {n} is red.", answer="Monday") for n in (900, 901, 900)]
    night = job(memory, day(memory), anchors=anchors, at_once=1)
    total = 2 * (20 + len(anchors))
    stopped(night, "judging", total - 3)
    report, done = going_on(night)
    assert len(done["judging"]) <= 3
    assert report.figures["gate"]["anchors"]["questions"] == 3


def test_new_traces_are_left_to_the_night_after(memory: LatentMemory, whole: Any) -> None:
    shelf = day(memory)
    night = job(memory, shelf)
    stopped(night, "training", 20)
    day(memory, 30, start=500)
    report, _ = going_on(night)
    assert weights(memory, 1) == whole[0]
    assert report.figures["trained"] + report.figures["held_out"] == 120
    assert count_new(memory.database, shelf) == 30
    assert consolidate(night).figures["trained"] > report.figures["trained"]


def test_what_is_kept_says_nothing_of_what_was_asked_or_answered(memory: LatentMemory) -> None:
    stopped(job(memory, day(memory)), "judging", 9)
    (kept,) = kept_names(memory.database)
    content = memory.database.files.read(kept)
    assert b"Item" not in content
    assert b"Monday" not in content
    assert b'"text": ""' in content


class Stopping(Reward):
    """Sets an event at its first score, counts its scores, and accepts nothing."""

    deterministic = True

    def __init__(self, stop: threading.Event) -> None:
        self._stop, self.scores = stop, 0

    @property
    def id(self) -> str:
        return "tests.support.night_world:right"

    def score(self, case: Case) -> Score:
        self.scores += 1
        self._stop.set()
        return Score(value=-1.0)


def test_a_replay_is_not_carried_to_its_end_once_the_night_is_to_stop(memory: LatentMemory) -> None:
    shelf, stop = day(memory), threading.Event()
    reward = Stopping(stop)
    search = replace(SEARCH, max_iterations=50, learning_rate=1.0)
    night = job(memory, shelf, reward=reward, search=search, at_once=1)
    with pytest.raises(NightStoppedError):
        consolidate(replace(night, watch=Watch(stop=stop)))
    assert reward.scores == 1


# ------------------------------------------------------------------------- what is thrown away


def damaged(memory: LatentMemory, kept: str, change: Callable[[bytes], bytes]) -> None:
    memory.database.files.write(kept, change(memory.database.files.read(kept)))


def cut_off(memory: LatentMemory, _: Shelf, kept: str) -> None:
    damaged(memory, kept, lambda content: content[: len(content) // 2])


def empty(memory: LatentMemory, _: Shelf, kept: str) -> None:
    damaged(memory, kept, lambda _: b"")


def flipped(memory: LatentMemory, _: Shelf, kept: str) -> None:
    damaged(memory, kept, lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])


def forgotten(memory: LatentMemory, _: Shelf, __: str) -> None:
    memory.forget(ids=[5])


def expired(memory: LatentMemory, _: Shelf, __: str) -> None:
    memory.set_limits(Limits(max_age=timedelta(days=30)))
    age(memory, [5], days=31)


def of_another_model(memory: LatentMemory, shelf: Shelf, kept: str) -> None:
    other = replace(shelf, fingerprint="feedbeef" * 8)
    stored = next(memory.stream(shelf)).trace
    memory.add(replace(stored, shelf=other))
    from latent_agent.nights.kept import KeptNight, made_from

    night, files = job(memory, shelf), memory.database.files
    read = KeptNight.read(files.read(kept), made_from(night))
    read.made_from = made_from(replace(night, shelf=other))
    files.write(kept, read.packed())


def of_last_week(memory: LatentMemory, _: Shelf, kept: str) -> None:
    long_ago = time.time() - 8 * 24 * 3600
    if isinstance(memory.place, Path):
        os.utime(priors_folder(memory.path) / kept, (long_ago, long_ago))
        return
    with memory.database.write() as connection:
        connection.exec_driver_sql(f"UPDATE files SET written = {long_ago * 1e6:.0f}")


@pytest.mark.parametrize("stage", ["training", "judging"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut_off, "cut off or damaged"),
        (empty, "cut off or damaged"),
        (flipped, "cut off or damaged"),
        (forgotten, "forgotten, or has expired"),
        (expired, "forgotten, or has expired"),
        (of_another_model, "made from another model"),
        (of_last_week, ""),
    ],
)
def test_what_changed_or_is_damaged_is_not_gone_on_from(
    memory: LatentMemory,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[LatentMemory, Shelf, str], None],
    said: str,
    stage: str,
) -> None:
    shelf = day(memory)
    night = job(memory, shelf)
    stopped(night, stage, 9)
    change(memory, shelf, kept_names(memory.database)[0])
    report, done = going_on(night)
    assert done["training"][0] == 1
    assert "kept" not in report.figures
    assert (report.verdict, report.night) == ("published", 2)
    assert said in caplog.text
    assert ("not used, a new one begins" in caplog.text) == bool(said)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"settings": replace(SETTINGS, hidden=32)}, "another set of night settings"),
        ({"search": replace(SEARCH, max_tokens=5)}, "another search"),
        ({"anchors": [Anchor(question="1 + 1?", answer="2")]}, "another set of anchors"),
    ],
)
def test_a_night_of_another_kind_begins_anew(
    memory: LatentMemory, caplog: pytest.LogCaptureFixture, other: dict[str, Any], said: str
) -> None:
    shelf = day(memory)
    stopped(job(memory, shelf), "judging", 5)
    report, done = going_on(job(memory, shelf, **other))
    assert done["training"][0] == 1
    assert report.night == 2
    assert said in caplog.text


def test_another_active_prior_makes_it_begin_anew(
    published_twice: LatentMemory, caplog: pytest.LogCaptureFixture
) -> None:
    from latent_memory.priors.publishing import roll_back

    shelf = day(published_twice, 20, start=700)
    stopped(job(published_twice, shelf), "training", 5)
    roll_back(published_twice.database, shelf)
    _, done = going_on(job(published_twice, shelf))
    assert done["training"][0] == 1
    assert "another active prior" in caplog.text


def test_what_was_evicted_for_room_costs_no_night_its_work(memory: LatentMemory) -> None:
    """As it costs no prior: a full memory evicts every day."""
    shelf = day(memory)
    stopped(job(memory, shelf), "judging", 9)
    memory.set_limits(Limits(capacity=110))
    memory.tidy()
    report, done = going_on(job(memory, shelf))
    assert done["training"] == []
    assert report.night == 1


def test_a_trace_that_is_forgotten_strictly_takes_the_work_along(memory: LatentMemory) -> None:
    shelf = day(memory)
    stopped(job(memory, shelf), "training", 9)
    memory.forget(ids=[5])
    assert len(kept_names(memory.database)) == 1
    memory.forget(ids=[6], strict=True)
    assert kept_names(memory.database) == []


def test_a_namespace_that_is_forgotten_takes_the_work_along(memory: LatentMemory) -> None:
    day(memory, 30, namespace="other")
    stopped(job(memory, day(memory)), "training", 9)
    memory.forget(namespace="default")
    assert kept_names(memory.database) == []


def test_work_on_a_trace_that_is_forgotten_meanwhile_is_not_kept(memory: LatentMemory) -> None:
    stop = threading.Event()

    def forget(stage: str, done: int, _total: int) -> None:
        if (stage, done) == ("training", 5):
            memory.forget(ids=[3])
            stop.set()

    with pytest.raises(NightStoppedError):
        consolidate(job(memory, day(memory), watch=Watch(report=forget, stop=stop)))
    assert kept_names(memory.database) == []


def test_two_shelves_keep_their_work_apart(memory: LatentMemory) -> None:
    ann, ben = (job(memory, day(memory, namespace=name)) for name in ("ann", "ben"))
    stopped(ann, "training", 9)
    stopped(ben, "judging", 9)
    assert len(kept_names(memory.database)) == 2
    assert going_on(ann)[1]["training"][0] == 11
    assert going_on(ben)[1]["training"] == []


# ----------------------------------------------------------------------------------- the clock


def test_a_night_stops_at_its_limit_and_goes_on(memory: LatentMemory) -> None:
    night = job(memory, day(memory))
    slow = Watch(report=lambda *_: time.sleep(0.05)).within(1 / 60)
    began = time.monotonic()
    with pytest.raises(NightStoppedError, match="at its time limit"):
        consolidate(replace(night, watch=slow))
    assert 1 <= time.monotonic() - began < 30  # of a night that would take longer
    report, done = going_on(night)
    assert done["training"][:1] != [1]
    assert report.verdict == "published"


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf")])
def test_a_limit_that_is_none_is_refused(minutes: float) -> None:
    with pytest.raises(SettingError, match=f"above 0, got {minutes}; give"):
        Watch().within(minutes)


def test_work_is_kept_now_and_then(memory: LatentMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill at any moment costs no more than that."""
    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(night_run, "KEEP_EVERY", 0.0)

    def look(stage: str, _done: int, _total: int) -> None:
        seen.append((stage, len(kept_names(memory.database))))

    consolidate(job(memory, day(memory), watch=Watch(report=look)))
    assert seen[0] == ("training", 0)
    assert all(count == 1 for _, count in seen[1:])
    assert kept_names(memory.database) == []


def test_a_disk_that_refuses_costs_no_night(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    files = type(memory.database.files)
    write = files.write

    def refuse(here: Any, name: str, content: bytes) -> None:
        if name.endswith(".kept"):
            raise OSError("no space is left")
        write(here, name, content)

    caplog.set_level(logging.WARNING)
    monkeypatch.setattr(files, "write", refuse)
    monkeypatch.setattr(night_run, "KEEP_EVERY", 0.0)
    assert consolidate(job(memory, day(memory))).verdict == "published"
    assert "cannot be kept: no space is left" in caplog.text
    assert len(list_priors(memory.database)) == 1
