"""Capacity, age and rate: what a memory keeps of each namespace at most."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.errors import PriorError, SettingError
from latent_agent.nights.night import consolidate
from latent_memory import LatentMemory, Limits, RateError, StoredTrace, TraceError
from latent_memory.retention import upkeep
from latent_memory.retention.eviction import fair_share
from latent_memory.retention.limits import CAPACITY, TOTAL
from latent_memory.retention.selection import usefulness
from tests.support.memories import (
    SHELF,
    age,
    bytes_beside,
    held,
    in_namespace,
    recalled,
    run_python,
    trace,
    vector,
)
from tests.support.servers import Place

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR


def test_limits_are_stored_in_the_memory(place: Place) -> None:
    path = place("m.sqlite3")
    with LatentMemory(path) as memory:
        assert memory.limits() == Limits(capacity=CAPACITY, max_age=None, hourly=None, total=TOTAL)
        memory.set_limits(Limits(capacity=7, max_age=timedelta(days=3), hourly=5, total=9))
        held = Limits(capacity=None, max_age=timedelta(days=2), hourly=None, total=8)
        memory.set_limits(held)
    with LatentMemory(path, mode="read") as again:
        assert again.limits() == held


@pytest.mark.parametrize(
    "wrong",
    [
        {"capacity": 0}, {"hourly": -1}, {"capacity": True}, {"total": 0},
        {"max_age": timedelta(0)},
    ],
)  # fmt: skip
def test_limits_without_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(TraceError, match=r"at least .*, got .*None: no limit"):
        Limits(**wrong)


def test_use_reward_and_age_decide_how_useful_a_trace_is() -> None:
    new = usefulness(score=0, uses=0, age=0)
    assert new == 1
    assert usefulness(score=-1, uses=0, age=0) == 0.5
    assert usefulness(score=0, uses=3, age=3 * DAY) == 1
    assert usefulness(score=0, uses=0, age=9 * DAY) == pytest.approx(0.1)
    assert usefulness(score=0, uses=0, age=-DAY) == 1  # a clock that was set back


def test_a_full_namespace_evicts_the_least_useful_and_no_other_namespace(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(Limits(capacity=4))
        memory.add(trace(1, score=-0.9))
        memory.add(trace(2))
        memory.add(trace(3, neighbours=(2,)))
        memory.add(trace(4, score=-0.1))
        memory.add_many(trace(seed, shelf=in_namespace("ann")) for seed in range(10, 14))
        assert held(memory) == [1, 2, 3, 4]
        new = memory.add(trace(5, score=-1.0))
        # The failed answer goes; the newest stays although it failed too.
        assert held(memory) == [2, 3, 4, new]
        age(memory, [3, 4], days=30)
        newer = memory.add(trace(6))
        assert held(memory) == [2, 4, new, newer]  # 3 scored lower than 4, both are old
        assert held(memory, "ann") == [5, 6, 7, 8]
        assert [memory.get(id_) for id_ in (1, 3)] == [None, None]
        assert sorted(recalled(memory, vector(1), k=9)) == [2, 4, new, newer]
        assert memory.verify() == []
        (entry,) = memory.erasures()
        assert (entry.reason, entry.traces) == ("evicted", 2)
        assert entry.began <= entry.ended <= datetime.now(UTC)


def test_what_is_stored_at_once_is_never_what_makes_room(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(Limits(capacity=3))
        memory.add_many(trace(seed, neighbours=(1,)) for seed in range(3))
        many = memory.add_many(trace(seed, score=-1.0) for seed in range(10, 15))
        assert held(memory) == many
        one = memory.add(trace(20))
        assert len(held(memory)) == 3
        assert one in held(memory)


@pytest.mark.parametrize(
    ("held", "total", "share"),
    [
        ([], 5, 0), ([3, 4], 7, 4), ([3, 4], 6, 3), ([1, 50, 2], 13, 10), ([9, 9, 9], 10, 3),
        ([1, 1, 1], 2, 0), ([8], 3, 3),
    ],
)  # fmt: skip
def test_the_largest_give_way(held: list[int], total: int, share: int) -> None:
    assert fair_share(held, total) == share
    assert sum(min(count, share) for count in held) <= total


def test_a_full_memory_evicts_from_its_largest_namespaces(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(Limits(total=20))
        for name, count in (("ann", 3), ("ben", 6), ("cleo", 11)):
            memory.add_many(
                trace(seed, shelf=in_namespace(name), score=-seed / 20) for seed in range(count)
            )
        assert memory.tidy(dry_run=True).evicted == 0
        memory.add(trace(1, shelf=in_namespace("ann")))
        assert [len(held(memory, name)) for name in ("ann", "ben", "cleo")] == [4, 6, 10]
        assert 20 not in held(memory, "cleo"), "not its least useful"
        memory.add_many(trace(seed, shelf=in_namespace("flood")) for seed in range(15))
        assert [len(held(memory, name)) for name in ("ann", "ben", "cleo")] == [4, 5, 5]
        assert len(held(memory, "flood")) == 15, "what is stored at once is spared"
        memory.add(trace(99, shelf=in_namespace("flood")))
        assert len(held(memory, "flood")) <= 6
        assert len(memory.list(limit=100)) <= 20
        assert memory.verify() == []


def test_the_total_holds_though_a_transaction_erases_few(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upkeep, "AT_ONCE", 5)
    monkeypatch.setattr(upkeep, "_UNCOUNTED", 10)
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.set_limits(Limits(capacity=None, total=100))
        for number in range(40):
            memory.add_many(trace(seed, shelf=in_namespace(f"{number}")) for seed in range(2))
        for seed in range(60):
            before = memory.stats().traces
            memory.add(trace(seed))
            assert before + 1 - 5 <= memory.stats().traces <= 110
        memory.set_limits(Limits(capacity=None, total=60))
        for seed in range(10):  # all are crowds now, each of one or two
            before = memory.stats().traces
            memory.add(trace(seed))
            assert before + 1 - 5 <= memory.stats().traces
        for seed in range(10):
            memory.add(trace(seed))
        assert memory.stats().traces <= 66
        assert memory.verify() == []


def test_more_namespaces_than_a_memory_may_hold_traces(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(Limits(total=6))
        for number in range(30):
            memory.add(trace(number, shelf=in_namespace(f"user {number}"), score=-number / 30))
            assert len(memory.list(limit=100)) <= 6
        assert {info.shelf.namespace for info in memory.shelves()} >= {"user 0", "user 29"}
        assert memory.verify() == []


def test_a_writer_counts_all_traces_now_and_then_and_tidying_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert upkeep._UNCOUNTED == 1000, "Limits.total says: after each thousandth part"
    monkeypatch.setattr(upkeep, "_UNCOUNTED", 100)
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.set_limits(Limits(total=500))
        memory.add(trace(0))  # it counts, and then after five more
        memory.add_many(trace(1) for _ in range(496))
        for name in ("ann", "ben", "cleo", "dora"):
            memory.add(trace(1, shelf=in_namespace(name)))
        assert memory.tidy(dry_run=True).evicted == 25, "what is beyond, and some room"
        assert len(held(memory)) == 497
        memory.add(trace(2, shelf=in_namespace("ann")))
        assert memory.tidy(dry_run=True).evicted == 0
        assert memory.stats().traces == 476


def test_an_import_is_taken_whole_and_trimmed_afterwards(tmp_path: Path, place: Place) -> None:
    with LatentMemory(place("from.sqlite3")) as source:
        source.add_many(trace(seed) for seed in range(8))
        source.export(tmp_path / "out")
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(Limits(capacity=4, hourly=6, total=6))
        assert memory.import_(tmp_path / "out") == 8
        assert len(held(memory)) == 8
        assert memory.tidy(dry_run=True).evicted == 4
        memory.set_limits(replace(memory.limits(), hourly=None))
        assert memory.limits() == Limits(capacity=4, total=6)
        new = memory.add(trace(9))
        assert len(held(memory)) == 4
        assert new in held(memory)
        (entry,) = memory.erasures()
        assert (entry.reason, entry.traces) == ("evicted", 5)


def test_room_is_made_for_several_at_once(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(Limits(capacity=100))
        memory.add_many(trace(seed) for seed in range(100))
        memory.add(trace(100))
        assert len(held(memory)) == 95
        memory.add_many(trace(seed) for seed in range(101, 106))
        assert len(held(memory)) == 100
        assert len(memory.erasures()) == 1


def test_an_index_in_another_process_follows(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.set_limits(Limits(capacity=40))
        memory.add_many(trace(seed) for seed in range(40))
        assert len(recalled(memory, vector(0), k=100)) == 40  # its index is built
        run_python(
            "import sys\n"
            "from latent_memory import LatentMemory\n"
            "from tests.support.memories import trace\n"
            "with LatentMemory(sys.argv[1]) as memory:\n"
            "    for seed in range(40, 60): memory.add(trace(seed))\n",
            path,
        )
        assert sorted(recalled(memory, vector(0), k=100)) == held(memory)
        assert len(held(memory)) <= 40
        assert memory.verify() == []


def test_old_traces_are_not_recalled_and_are_erased(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        ids = memory.add_many(
            trace(seed, query=f"MARK {seed}", answer=f"MARK {seed}") for seed in range(6)
        )
        age(memory, ids[:4], days=10)
        assert len(recalled(memory, vector(0), k=2)) == 2
        memory.set_limits(Limits(max_age=timedelta(days=9)))
        nearest = recalled(memory, vector(0), k=2)
        assert sorted(nearest) == ids[4:]
        assert len(held(memory)) == 6  # nothing has been written since
        assert memory.tidy(dry_run=True).expired == 4
        new = memory.add(trace(7))
        assert held(memory) == [*ids[4:], new]
        assert memory.verify() == []
        (entry,) = memory.erasures()
        assert (entry.reason, entry.traces) == ("expired", 4)
    kept = bytes_beside(tmp_path / "m.sqlite3")
    assert b"MARK 4" in kept
    assert b"MARK 0" not in kept


def test_a_writer_looks_for_old_traces_now_and_then_and_tidying_at_once(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(Limits(max_age=timedelta(days=1)))
        first = memory.add(trace(1))
        age(memory, [first], days=2)
        memory.add(trace(2))
        assert first in held(memory)
        assert memory.tidy().expired == 1
        assert first not in held(memory)


class Clock(datetime):
    """A clock that can be set."""

    ahead = timedelta(0)

    @classmethod
    def now(cls, tz: Any = None) -> "datetime":
        return datetime.now(tz) + cls.ahead


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> type[Clock]:
    """The clock that new traces are dated by."""
    monkeypatch.setattr(upkeep, "datetime", Clock)
    monkeypatch.setattr(Clock, "ahead", timedelta(0))
    return Clock


def test_a_namespace_has_so_many_new_traces_an_hour(place: Place, clock: type[Clock]) -> None:
    path = place("m.sqlite3")
    with LatentMemory(path) as memory:
        memory.set_limits(Limits(hourly=3))
        memory.add(trace(0))
        clock.ahead = timedelta(minutes=30)
        memory.add_many(trace(seed) for seed in range(1, 3))
        with pytest.raises(RateError, match=r"at most 3 .*'default' got 4.*wait.*--hourly"):
            memory.add(trace(4))
        with pytest.raises(RateError):  # on another shelf, in another process's memory
            LatentMemory(path).add(trace(4, shelf=replace(SHELF, reward="other")))
        memory.add(trace(5, shelf=in_namespace("ann")))
        with pytest.raises(RateError):  # all or none
            memory.add_many(trace(seed, shelf=in_namespace("ann")) for seed in range(3))
        assert len(held(memory, "ann")) == 1
        clock.ahead = timedelta(minutes=62)  # the first one no longer counts
        memory.add(trace(6))
        with pytest.raises(RateError):
            memory.add(trace(7))
        newest = memory.get(held(memory)[-1])
        assert newest is not None
        assert newest.trace.query == "question 6?"


@pytest.mark.parametrize("limits", [Limits(capacity=5, hourly=12), Limits(total=5, hourly=12)])
def test_what_was_evicted_counts_for_the_rate(place: Place, limits: Limits) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(limits)
        for seed in range(12):
            memory.add(trace(seed))
        memory.compact()
        with pytest.raises(RateError, match=r"at most 12 .* got 13"):
            memory.add(trace(13))
        assert len(held(memory)) <= 5


def test_a_clock_that_is_set_back_stops_no_namespace(place: Place, clock: type[Clock]) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.set_limits(Limits(hourly=3))
        clock.ahead = timedelta(days=300)
        memory.add_many(trace(seed) for seed in range(3))
        with pytest.raises(RateError):
            memory.add(trace(4))
        clock.ahead = timedelta(0)
        memory.add_many(trace(seed) for seed in range(5, 8))
        with pytest.raises(RateError):
            memory.add(trace(9))


def test_the_room_is_not_looked_for_while_there_is_plenty(tmp_path: Path) -> None:
    """However many traces there are, an add reads none of them."""
    seen: list[str] = []
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add_many(trace(seed) for seed in range(50))
        with memory.database.write() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
        raw.set_trace_callback(seen.append)
        memory.add(trace(51))
        raw.set_trace_callback(None)
        looks = [one for one in seen if one.startswith("SELECT") and "traces" in one]
        assert looks
        plans = [
            step[3]
            for look in looks
            for step in raw.execute(f"EXPLAIN QUERY PLAN {look}").fetchall()
        ]
    assert any("SEARCH traces" in step for step in plans)  # a look-up
    assert not [step for step in plans if step.startswith("SCAN traces")]


def test_forgetting_is_recorded_without_what_was_held(tmp_path: Path) -> None:
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add_many(
            trace(seed, shelf=in_namespace("SECRET-ANN"), query=f"SECRET {seed}")
            for seed in range(700)
        )
        memory.add(trace(1))
        assert memory.forget(ids=[3]) == 1
        assert memory.forget(ids=[3]) == 0
        assert memory.forget(namespace="SECRET-ANN", older_than=datetime.now(UTC)) == 699
        assert memory.prune(keep=0) == 1
        memory.compact()
        assert [(one.reason, one.traces) for one in memory.erasures()] == [
            ("pruned", 1),
            ("forgotten by namespace, age", 699),  # one entry, though two transactions
            ("forgotten by ids", 1),
        ]
        assert memory.verify() == []
    assert b"SECRET" not in bytes_beside(path)


def test_a_recall_reads_no_more_traces_whole_than_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are too old and not erased yet, as in a memory that is only read."""
    from latent_memory import recall as recalling
    from latent_memory import trace_rows as rows

    read: list[int] = []

    def counted(connection: Connection, ids: Sequence[int]) -> dict[int, StoredTrace]:
        read.extend(ids)
        return rows.read_traces(connection, ids)

    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        ids = memory.add_many(trace(seed) for seed in range(1200))
        age(memory, ids[:1190], days=10)
        memory.set_limits(Limits(max_age=timedelta(days=9)))
    monkeypatch.setattr(recalling, "read_traces", counted)
    with LatentMemory(path, mode="read") as memory:
        nearest = recalled(memory, vector(0), k=5)
        assert len(nearest) == 5
        assert sorted(read) == sorted(nearest)
        assert set(nearest) <= set(ids[1190:])
        assert sorted(recalled(memory, vector(0), k=1000)) == ids[1190:]


def test_limits_on_the_command_line(place: Place) -> None:
    path = place("m.sqlite3")
    with LatentMemory(path) as memory:
        ids = memory.add_many(trace(seed, query="SECRET") for seed in range(30))
        age(memory, ids[:4], days=3)
    at = ("--memory", str(path), "--json")

    def run(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, ["memory", *words, *at], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    shown = run("limits")
    assert shown == {
        "capacity": CAPACITY,
        "max_age_days": None,
        "hourly": None,
        "total": TOTAL,
        "beyond": {"expired": 0, "evicted": 0, "compacted": False},
    }
    changed = run("limits", "--capacity", "20", "--max-age", "2", "--hourly", "7")
    assert changed["beyond"] == {"expired": 4, "evicted": 7, "compacted": False}
    assert (changed["capacity"], changed["max_age_days"], changed["hourly"]) == (20, 2.0, 7)
    assert run("record") == {"erasures": []}
    applied = run("limits", "--apply", "--yes")
    assert applied["erased"] == changed["beyond"]
    rows = run("record")["erasures"]
    assert [(row["reason"], row["traces"]) for row in rows] == [("evicted", 7), ("expired", 4)]
    assert "SECRET" not in json.dumps(rows)
    assert run("limits", "--total", "11")["beyond"]["evicted"] == 8
    assert run("limits", "--apply", "--yes")["erased"]["evicted"] == 8
    unlimited = [f"{word}=0" for word in ("--capacity", "--hourly", "--max-age", "--total")]
    assert run("limits", *unlimited)["total"] is None
    with LatentMemory(path, mode="read") as memory:
        assert len(held(memory)) == 11
        assert memory.limits() == Limits(capacity=None, total=None)


def test_limits_for_people(place: Place) -> None:
    path = place("m.sqlite3")
    with LatentMemory(path) as memory:
        memory.add_many(trace(seed) for seed in range(3))
        memory.set_limits(Limits(capacity=2))
    runner = CliRunner()
    shown = runner.invoke(app, ["memory", "limits", "--memory", str(path)], catch_exceptions=False)
    assert "new traces of a namespace, an hour" in shown.stdout
    assert "1,000,000" in shown.stdout
    assert "beyond: 0 too old, 1 too many" in shown.stdout
    with pytest.raises(SettingError, match="give --yes"):  # nobody can be asked
        runner.invoke(
            app, ["memory", "limits", "--apply", "--memory", str(path)], catch_exceptions=False
        )
    runner.invoke(app, ["memory", "limits", "--apply", "--yes", "--memory", str(path)])
    shown = runner.invoke(app, ["memory", "record", "--memory", str(path)], catch_exceptions=False)
    assert "evicted" in shown.stdout


def test_a_night_brings_the_memory_within_its_limits(place: Place) -> None:
    from latent_agent.model.registry import open_model
    from latent_agent.nights.job import NightJob

    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add_many(trace(seed) for seed in range(30))
        memory.set_limits(Limits(capacity=10))
        job = NightJob(memory=memory, model=open_model("bundled"), shelf=SHELF)
        with pytest.raises(PriorError, match="at least 20 traces"):
            consolidate(job)
        assert len(held(memory)) == 10
        assert memory.erasures()[0].traces == 20
