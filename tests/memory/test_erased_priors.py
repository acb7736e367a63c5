"""What erasing traces does to the priors that learnt from them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from latent_memory import LatentMemory, Limits
from latent_memory.priors.nights import begin_night
from latent_memory.priors.priors import find_prior, source_of
from latent_memory.priors.publishing import drop_files, note_file, publish, reserve
from tests.support.memories import (
    SHELF,
    held,
    in_namespace,
    recalled,
    trace,
    vector,
)
from tests.support.servers import Place

DAY = 24 * 3600 * 1_000_000


def new_prior(memory: LatentMemory) -> int:
    """Note a prior, with its file, that learnt from all that lies on the first shelf."""
    source = source_of(memory.database, SHELF)
    assert source is not None
    night = begin_night(memory.database, SHELF, seed=0, inputs={})
    version = reserve(memory.database, [source], night=night, positions=3)
    note_file(memory.database, version, "f", "c")
    return version


def test_a_compaction_forgets_no_deletion_that_a_prior_must_know(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add_many(trace(seed) for seed in range(10))
        version = new_prior(memory)
        memory.set_limits(Limits(capacity=5))
        assert memory.tidy().evicted == 5
        assert not find_prior(memory.database, version).stale  # eviction is no wish to be forgotten
        memory.forget(ids=held(memory)[:1])
        assert find_prior(memory.database, version).stale
        with memory.database.write() as connection:  # a month later
            connection.execute(text(f"UPDATE deletions SET deleted = deleted - {30 * DAY}"))
        memory.compact()
        assert find_prior(memory.database, version).stale
        with memory.database.read() as connection:
            assert connection.scalar(text("SELECT count(*) FROM deletions")) == 1
        assert np.isfinite(len(recalled(memory, vector(0))))
        assert memory.verify() == []


@pytest.mark.parametrize("forgotten", [False, True])
def test_a_shared_namespace_that_is_evicted_leaves_priors_that_learnt_from_it(
    place: Place, forgotten: bool
) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add_many(trace(seed) for seed in range(4))
        memory.add_many(trace(seed, shelf=in_namespace("ann"), score=-1.0) for seed in range(2))
        shared = [source_of(memory.database, shelf) for shelf in (SHELF, in_namespace("ann"))]
        learnt_from = [source for source in shared if source is not None]
        assert len(learnt_from) == 2
        night = begin_night(memory.database, SHELF, seed=0, inputs={})
        version = reserve(memory.database, learnt_from, night=night, positions=3)
        if forgotten:  # one of them, before the others go for want of room
            memory.forget(ids=held(memory, "ann")[:1])
        other = replace(in_namespace("ann"), fingerprint="another model")
        memory.set_limits(Limits(capacity=4))
        memory.add_many(trace(seed, shelf=other) for seed in range(4))
        assert source_of(memory.database, in_namespace("ann")) is None
        assert find_prior(memory.database, version).stale is forgotten


def test_a_compaction_keeps_no_deletion_for_a_prior_that_has_no_file(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add_many(trace(seed) for seed in range(10))
        version = new_prior(memory)
        memory.forget(ids=held(memory)[:4])
        with memory.database.write() as connection:  # a month later
            connection.execute(text(f"UPDATE deletions SET deleted = deleted - {30 * DAY}"))
        for file, left in ((True, 4), (False, 0)):
            if not file:
                drop_files(memory.database, [version])
            memory.compact()
            with memory.database.read() as connection:
                assert connection.scalar(text("SELECT count(*) FROM deletions")) == left
        assert len(recalled(memory, vector(0), k=20)) == 6


def files_of(memory: LatentMemory) -> set[str]:
    return {file.name for file in memory.database.files.list()}


def published(memory: LatentMemory, namespace: str) -> str:
    """Leave an active prior, as a night does; return its file's name."""
    shelf = in_namespace(namespace)
    source = source_of(memory.database, shelf)
    assert source is not None
    night = begin_night(memory.database, shelf, seed=0, inputs={})
    version = reserve(memory.database, [source], night=night, positions=3)
    file = f"{version}.safetensors"
    memory.database.files.write(file, b"weights")
    note_file(memory.database, version, file, "c")
    publish(memory.database, version)
    return file


def test_a_forgotten_namespace_leaves_no_prior_behind(place: Place) -> None:
    """Its weights learnt from what is forgotten: no night need come by to delete them."""
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add_many(trace(seed, shelf=in_namespace("ann")) for seed in range(5))
        memory.add_many(trace(seed, shelf=in_namespace("bob")) for seed in range(5))
        ann, bob = published(memory, "ann"), published(memory, "bob")
        memory.forget(namespace="ann")
        assert files_of(memory) == {bob} != {ann}
        memory.forget(ids=held(memory, "bob")[:1])
        assert files_of(memory) == {bob}  # until the next night
        memory.forget(ids=held(memory, "bob")[:1], strict=True)
        assert files_of(memory) == set()
        assert memory.verify() == []


def test_a_prior_of_a_damaged_database_leads_to_no_other_file(tmp_path: Path, place: Place) -> None:
    outside = tmp_path / "keep.txt"
    outside.write_text("mine")
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add(trace(1))
        published(memory, "default")
        with memory.database.write() as connection:
            connection.execute(text("UPDATE priors SET file = '../keep.txt'"))
        memory.forget(namespace="default")
    assert outside.read_text() == "mine"
