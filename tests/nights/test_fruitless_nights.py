"""Nights that come to nothing: not run again before more is new, and no burden on the database."""

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from latent_agent.errors import NightStoppedError, PriorError, TooLittleError
from latent_agent.nights import dataset
from latent_agent.nights.dataset import part_of
from latent_agent.nights.job import Watch, plan
from latent_agent.nights.night import consolidate
from latent_agent.nights.scheduler import ConsolidationScheduler
from latent_agent.reward import CallableReward
from latent_memory import LatentMemory
from latent_memory.priors.nights import Result, begin_night, count_new, end_night, list_nights
from latent_memory.priors.priors import active_prior, list_priors, source_of
from latent_memory.priors.publishing import drop_files, note_file, publish, reserve
from latent_memory.sqlite import priors_folder
from tests.support.night_world import SETTINGS, day, job, right, shelf_of


def verdicts(memory: LatentMemory) -> list[str]:
    results = [night.result for night in list_nights(memory.database)]
    return [result.verdict for result in results if result is not None]


def test_a_night_that_cannot_be_judged_is_not_run_again_before_more_is_new(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "silent.sqlite3", store_text=False) as memory:
        shelf, reports = day(memory, 40), []
        scheduler = ConsolidationScheduler(job(memory, shelf), every=30, done=reports.append)
        for _ in range(3):
            scheduler._night()  # what each look does
        assert [report.verdict for report in reports] == ["unjudged"]
        day(memory, 29, start=300)
        scheduler._night()
        assert len(reports) == 1
        day(memory, 1, start=400)
        scheduler._night()
        assert verdicts(memory) == ["unjudged", "unjudged"]
        assert len(list_priors(memory.database)) == 2
        assert consolidate(job(memory, shelf)).verdict == "unjudged"  # by hand, at once


def test_a_night_that_fails_is_not_run_again_before_more_is_new(memory: LatentMemory) -> None:
    shelf = day(memory, 10)
    waiting = job(memory, shelf, settings=replace(SETTINGS, if_new=5))
    with pytest.raises(PriorError, match="needs at least 20 traces"):
        consolidate(waiting)
    assert consolidate(waiting).verdict == plan(waiting).verdict == "idle"
    day(memory, 5, start=300)
    with pytest.raises(PriorError, match="needs at least 20 traces"):
        consolidate(waiting)
    with pytest.raises(PriorError, match="needs at least 20 traces"):
        consolidate(job(memory, shelf))  # by hand, at once
    assert verdicts(memory) == ["failed"] * 3
    day(memory, 105, start=400)
    assert consolidate(waiting).verdict == "published"
    assert count_new(memory.database, shelf) == 0


def test_an_optional_night_with_too_few_traces_leaves_no_record(
    memory: LatentMemory, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "latent_agent.nights")
    shelf, read = day(memory, 10), list[int]()
    monkeypatch.setattr(dataset, "part_of", lambda one: read.append(one.id) or part_of(one))
    with pytest.raises(TooLittleError, match="needs at least 20 traces"):
        consolidate(job(memory, shelf, optional=True))
    assert read == list(range(1, 11))  # each trace once
    assert list_nights(memory.database) == []
    assert caplog.records == []
    day(memory, 110, start=300)
    assert consolidate(job(memory, shelf, optional=True)).verdict == "published"


def fail_at_the_gate(stage: str, *_: int) -> None:
    if stage == "judging":
        raise RuntimeError("the progress bar is out of order")


BROKEN = Watch(report=fail_at_the_gate)


def test_what_nobody_foresaw_is_a_failure_too(memory: LatentMemory) -> None:
    shelf = day(memory)
    broken = job(memory, shelf, settings=replace(SETTINGS, if_new=1), watch=BROKEN)
    with pytest.raises(RuntimeError, match="out of order"):
        consolidate(broken)
    (night,) = list_nights(memory.database)
    assert night.result is not None
    assert (night.result.verdict, night.result.last) == ("failed", 120)
    assert night.result.reason == "RuntimeError: the progress bar is out of order"
    assert consolidate(broken).verdict == "idle"


def test_an_interrupted_night_goes_on_whatever_was_killed_since(memory: LatentMemory) -> None:
    shelf, stop = day(memory), threading.Event()
    waiting = replace(SETTINGS, if_new=100)
    interrupted = Watch(report=lambda *_: stop.set(), stop=stop)
    with pytest.raises(NightStoppedError):
        consolidate(job(memory, shelf, settings=waiting, watch=interrupted))
    begin_night(memory.database, shelf, seed=0, inputs={})  # and killed
    assert consolidate(job(memory, shelf, settings=waiting)).verdict == "published"
    assert verdicts(memory) == ["killed", "published"]


def test_of_nights_that_published_the_newest_stay_and_those_that_can_be_rolled_back_to(
    memory: LatentMemory,
) -> None:
    from latent_memory.priors.nights import drop_old_nights

    database, shelf = memory.database, day(memory)
    source = source_of(database, shelf)
    assert source is not None
    for _ in range(9):
        night = begin_night(database, shelf, seed=0, inputs={})
        version = reserve(database, [source], night=night, positions=2)
        note_file(database, version, f"{version}.safetensors", "c")
        publish(database, version)
        end_night(database, night, Result(verdict="published", reason="", seconds=1.0, last=120))
    drop_files(database, [1, 3, 4, 5, 6, 8])  # as pruning does
    drop_old_nights(database, shelf, keep_published=3)
    assert [prior.version for prior in list_priors(database)] == [9, 8, 7, 2]
    assert [night.id for night in list_nights(database)] == [9, 8, 7, 2]
    champion = active_prior(database, shelf)
    assert champion is not None
    assert champion.version == 9
    assert count_new(database, shelf) == 0


def test_nights_that_fail_again_and_again_fill_no_database(published: LatentMemory) -> None:
    from latent_memory.priors.nights import KEPT

    memory, shelf = published, shelf_of(CallableReward(right))
    database = memory.database
    source = source_of(database, shelf)
    assert source is not None
    folder = priors_folder(memory.path)
    for _ in range(KEPT + 5):
        night = begin_night(database, shelf, seed=0, inputs={})
        version = reserve(database, [source], night=night, positions=2)
        note_file(database, version, f"{version}.safetensors", "c")
        (folder / f"{version}.safetensors").write_bytes(b"weights")
        result = Result(verdict="failed", reason="again", seconds=1.0, last=120)
        end_night(database, night, result)
    day(memory, 10, start=300)
    broken = job(memory, shelf, reward=None, watch=BROKEN)
    with pytest.raises(RuntimeError):
        consolidate(broken)
    assert len(list_nights(database)) == KEPT + 2  # that which published, and this one
    assert len(list_priors(database)) == KEPT + 2
    assert len(list(folder.glob("*.safetensors"))) <= SETTINGS.keep + 2
    champion = active_prior(database, shelf)
    assert champion is not None
    assert champion.version == 1
    assert count_new(database, shelf) == 10  # what is decided stays decided
