"""What a time-to-live does to priors: a night learns of it, but none is due for it alone."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from latent_agent.nights.job import NightReport, Watch
from latent_agent.nights.night import consolidate
from latent_agent.nights.scheduler import ConsolidationScheduler
from latent_agent.reward import CallableReward
from latent_memory import LatentMemory, Limits, Shelf
from latent_memory.priors.priors import active_prior, find_prior, list_priors
from latent_memory.transfer.copying import copy
from tests.support.memories import age
from tests.support.night_world import SETTINGS, day, job, open_at, right, shelf_of
from tests.support.servers import Place


@pytest.fixture
def memory(place: Place) -> Iterator[LatentMemory]:
    with LatentMemory(place("memory.sqlite3")) as opened:
        yield opened


@pytest.fixture
def published(place: Place, night_folder: Path) -> Iterator[LatentMemory]:
    """After one night that published prior 1."""
    with LatentMemory(place("published.sqlite3")) as opened, open_at(night_folder) as whole:
        copy(whole.database, opened.database)
        yield opened


@pytest.fixture
def dated(published: LatentMemory) -> LatentMemory:
    """A memory with a time-to-live, after one night."""
    published.set_limits(Limits(max_age=timedelta(days=30)))
    return published


@pytest.fixture(autouse=True)
def limited(memory: LatentMemory) -> None:
    memory.set_limits(Limits(max_age=timedelta(days=30)))


def now(memory: LatentMemory, shelf: Shelf) -> int | None:
    found = active_prior(memory.database, shelf)
    return None if found is None else found.version


def test_a_time_to_live_makes_no_night_due_before_so_many_traces_are_new(
    memory: LatentMemory,
) -> None:
    shelf, reports = day(memory), list[NightReport]()
    scheduler = ConsolidationScheduler(job(memory, shelf), every=20, done=reports.append)
    scheduler._night()  # what each look does
    assert now(memory, shelf) == 1
    for look in range(3):
        age(memory, [2 * look + 1, 2 * look + 2], days=31)
        day(memory, 5, start=300 + 10 * look)
        scheduler._night()
    assert (memory.erasures()[0].reason, memory.erasures()[0].traces) == ("expired", 6)
    assert find_prior(memory.database, 1).stale
    assert (len(reports), now(memory, shelf)) == (1, 1)
    day(memory, 5, start=400)
    scheduler._night()
    assert len(reports) == 2
    assert reports[1].figures["champion"] is None  # nothing of the old weights is used
    assert find_prior(memory.database, 1).withdrawn == "a trace behind it has expired"


def test_by_hand_a_night_is_due_for_what_expired(dated: LatentMemory) -> None:
    memory, shelf = dated, shelf_of(CallableReward(right))
    assert consolidate(job(memory, shelf)).verdict == "idle"
    age(memory, [1], days=31)
    assert consolidate(job(memory, shelf)).verdict != "idle"


def test_what_is_forgotten_makes_a_night_due_whatever_is_waited_for(dated: LatentMemory) -> None:
    memory, shelf = dated, shelf_of(CallableReward(right))
    waiting = job(memory, shelf, settings=replace(SETTINGS, if_new=200))
    assert consolidate(waiting).verdict == "idle"
    memory.forget(ids=[5])
    assert consolidate(waiting).verdict != "idle"
    assert find_prior(memory.database, 1).withdrawn == "a trace behind it was forgotten"


def test_a_night_leaves_the_priors_of_others_active_whose_traces_expired(
    memory: LatentMemory,
) -> None:
    ann, ben = (day(memory, namespace=name) for name in ("ann", "ben"))
    for shelf in (ann, ben):
        consolidate(job(memory, shelf))
    age(memory, [1, 121], days=31)  # one of each
    consolidate(job(memory, ann))
    assert now(memory, ben) == 2
    assert find_prior(memory.database, 1).withdrawn is not None


def test_what_expires_during_a_night_keeps_it_from_nothing(memory: LatentMemory) -> None:
    """Else a long night beside steady traffic would never publish."""
    shelf = day(memory)

    def expire(stage: str, done: int, _total: int) -> None:
        if (stage, done) == ("judging", 1):
            age(memory, [1], days=31)
            assert memory.tidy().expired == 1

    report = consolidate(job(memory, shelf, watch=Watch(report=expire)))
    assert (report.verdict, now(memory, shelf)) == ("published", 1)
    (prior,) = list_priors(memory.database)
    assert (prior.stale, prior.forgotten) == (True, False)
