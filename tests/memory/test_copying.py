"""A whole memory into an empty one, in either database: everything keeps its number."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Select, Table, select

from latent_memory import Feedback, LatentMemory, Limits, LocationError, StorageError
from latent_memory.priors.nights import Result, begin_night, end_night, list_nights
from latent_memory.priors.priors import active_prior, list_priors, source_of
from latent_memory.priors.publishing import note_file, publish, reserve
from latent_memory.tables import metadata
from latent_memory.transfer.copying import copy
from tests.support.memories import SHELF, in_namespace, recalled, trace, vector
from tests.support.servers import Place

TEXTS = ("plain", "with a \0 NUL", "with a \x1a and \x1a0 and \x1a1", "snow \N{SNOWMAN} \U0001f600")


def fill(memory: LatentMemory) -> None:
    """Traces, feedback, limits, a night, a prior, what was forgotten: some of all there is."""
    memory.add_many(
        trace(seed, query=TEXTS[seed % 4], answer=TEXTS[-seed % 4]) for seed in range(30)
    )
    memory.add(trace(30, shelf=in_namespace("ann"), query=None, answer=None, neighbours=(3, 9)))
    memory.rate(3, Feedback(score=0.25, comment="a\0b", correction="five"), namespace="default")
    memory.rate(4, Feedback(score=1.0), namespace="default")
    source = source_of(memory.database, SHELF)
    assert source is not None
    night = begin_night(memory.database, SHELF, seed=None, inputs={"a": [1]})
    version = reserve(memory.database, [source], night=night, positions=3)
    memory.database.files.write(f"{version}.safetensors", b"\0weights")
    note_file(memory.database, version, f"{version}.safetensors", "sum")
    publish(memory.database, version)
    end_night(memory.database, night, Result(verdict="published", reason="better", seconds=1.5))
    memory.set_limits(Limits(capacity=500, hourly=300))
    memory.add(trace(40, shelf=in_namespace("ann")))
    memory.forget(ids=[7, memory.add(trace(50))])


def in_order(table: Table) -> Select[Any]:
    return select(table).order_by(*table.primary_key)


def everything(memory: LatentMemory) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables, but for what forgotten traces left."""
    there = {info.id for info in memory.list(limit=1000)}
    with memory.database.read() as connection:
        there |= {row.rated for row in connection.execute(select(metadata.tables["ratings"]))}
        rows = {
            name: [tuple(row) for row in connection.execute(in_order(table))]
            for name, table in metadata.tables.items()
            if name != "erasures"
        }
    for name in ("latents", "embeddings", "texts"):
        rows[name] = [row for row in rows[name] if row[0] in there]
    rows["feedback"] = [row for row in rows["feedback"] if row[1]]
    return rows


@pytest.mark.parametrize("onward", [True, False])
def test_all_of_it_comes_along_under_its_numbers(
    tmp_path: Path, place: Place, onward: bool
) -> None:
    first, second = tmp_path / "here.sqlite3", place("there.sqlite3")
    source, target = (first, second) if onward else (second, first)
    told: list[tuple[int, int]] = []
    with LatentMemory(source) as old, LatentMemory(target) as new:
        fill(old)
        count = copy(old.database, new.database, lambda done, total: told.append((done, total)))
        assert count == old.stats().traces == new.stats().traces
        assert everything(new) == everything(old)
        assert told[-1][0] == told[-1][1]
        assert new.verify() == old.verify() == []
        assert new.limits() == old.limits()
        assert [one.reason for one in new.erasures()] == [one.reason for one in old.erasures()]
        assert list_nights(new.database) == list_nights(old.database)
        assert list_priors(new.database) == list_priors(old.database)
        assert active_prior(new.database, SHELF) is not None
        assert new.database.files.read("1.safetensors") == b"\0weights"
        assert recalled(new, vector(9), k=1) == recalled(old, vector(9), k=1) == [10]
        assert new.add(trace(60)) == old.add(trace(60))  # beyond those that were forgotten last
        both = [
            reserve(one.database, [found], night=1, positions=3)
            for one in (old, new)
            if (found := source_of(one.database, SHELF)) is not None
        ]
        assert both == [2, 2]


def test_only_an_empty_memory_is_copied_into(place: Place) -> None:
    with LatentMemory(place("a.sqlite3")) as one, LatentMemory(place("b.sqlite3")) as other:
        one.add(trace(1))
        with pytest.raises(LocationError, match="twice; name an empty one"):
            copy(one.database, one.database)
        other.forget(ids=[other.add(trace(2))])  # it holds nothing, but its ids were given
        with pytest.raises(LocationError, match="holds something, or did"):
            copy(one.database, other.database)
        assert other.list() == []


def test_a_copy_that_breaks_off_leaves_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*given: Any) -> None:
        move(*given)
        raise StorageError("no space is left")

    with LatentMemory(tmp_path / "a.sqlite3") as one, LatentMemory(place("b.sqlite3")) as other:
        fill(one)
        move = type(other.database).set_highest_ids
        with monkeypatch.context() as patch:
            patch.setattr(type(other.database), "set_highest_ids", refuse)
            with pytest.raises(StorageError, match="no space"):
                copy(one.database, other.database)
        assert other.list() == []
        assert copy(one.database, other.database) == one.stats().traces
