"""The store's daily work: adding, recalling, reading; each way in which a peer's failed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent_memory import LatentMemory, ReadOnlyError, Shelf, Trace, TraceError
from tests.support.memories import SHELF, contents, cosines, in_namespace, recalled, trace, vector
from tests.support.servers import Place


@pytest.fixture
def memory(place: Place):
    with LatentMemory(place("memory.sqlite3")) as memory:
        yield memory


def test_a_trace_comes_back_as_it_was_stored(memory: LatentMemory) -> None:
    first = memory.add(trace(1))
    given = trace(7, neighbours=(first,), prior="3")
    before = datetime.now(UTC)
    stored = memory.get(memory.add(given))
    assert stored is not None
    got = stored.trace
    plain = ("shelf", "query", "answer", "tokens", "score", "rewards", "steps", "stopped")
    for name in (*plain, "neighbours", "prior"):
        assert getattr(got, name) == getattr(given, name)
    np.testing.assert_array_equal(got.embedding, given.embedding)
    np.testing.assert_array_equal(got.base, given.base.astype(np.float16).astype(np.float32))
    np.testing.assert_allclose(got.optimised, given.optimised, atol=0.3 / 250)
    assert got.base.dtype == got.optimised.dtype == got.embedding.dtype == np.float32
    assert before - timedelta(seconds=1) < stored.created < datetime.now(UTC)


def test_an_id_that_is_not_there_is_none(memory: LatentMemory) -> None:
    memory.add(trace(1))
    assert memory.get(2) is None


def test_traces_outlive_the_process_that_stored_them(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "er" / "memory.sqlite3"
    with LatentMemory(path) as memory:
        ids = [memory.add(trace(seed)) for seed in range(3)]
    with LatentMemory(f"sqlite:///{path}") as memory:
        assert [info.id for info in memory.list()] == ids[::-1]
        assert recalled(memory, vector(1), k=1) == [ids[1]]


def test_recall_is_the_centred_cosine_of_all(memory: LatentMemory) -> None:
    ids = memory.add_many(trace(seed) for seed in range(200))
    query = vector(12345)
    vectors = np.stack([vector(seed) for seed in range(200)])
    expected = cosines(vectors - vectors.mean(axis=0), query - vectors.mean(axis=0))
    found = memory.recall(query, shelf=SHELF, k=7)
    best = np.argsort(-expected)[:7]
    assert [neighbour.stored.id for neighbour in found] == [ids[at] for at in best]
    similarities = [neighbour.similarity for neighbour in found]
    np.testing.assert_allclose(similarities, expected[best], atol=1e-5)
    assert found[0].stored.trace.query == f"question {best[0]}?"


def test_a_new_trace_is_recalled_at_once(memory: LatentMemory) -> None:
    memory.add_many(trace(seed) for seed in range(20))
    for seed in range(20, 30):
        assert recalled(memory, vector(seed), k=1) != [seed + 1]
        id_ = memory.add(trace(seed))
        assert recalled(memory, vector(seed), k=1) == [id_]


def test_an_empty_shelf_recalls_nothing(memory: LatentMemory) -> None:
    assert memory.recall(vector(0), shelf=SHELF) == []
    memory.add(trace(1))
    assert memory.recall(vector(0), shelf=in_namespace("nobody")) == []
    assert len(memory.recall(vector(0), shelf=SHELF, k=5)) == 1
    memory.forget(ids=[1])
    assert memory.recall(vector(0), shelf=SHELF) == []


def test_the_filter_comes_before_the_ranking(memory: LatentMemory) -> None:
    """A user with five memories gets them, though 2,000 of others' are nearer."""
    query = vector(0)
    memory.add_many(
        trace(seed, embedding=query, shelf=in_namespace("many")) for seed in range(2000)
    )
    mine = memory.add_many(trace(seed, shelf=in_namespace("few")) for seed in range(100, 105))
    assert sorted(recalled(memory, query, in_namespace("few"))) == mine


@pytest.mark.parametrize("name", ["namespace", "fingerprint", "reward"])
def test_no_other_shelf_is_recalled_from(memory: LatentMemory, name: str) -> None:
    other = replace(SHELF, **{name: "another"})
    memory.add_many(trace(seed, embedding=vector(5), shelf=SHELF) for seed in range(3))
    theirs = memory.add_many(trace(seed, embedding=vector(5), shelf=other) for seed in range(3))
    assert recalled(memory, vector(5), SHELF, k=10) == [1, 2, 3]
    assert recalled(memory, vector(5), other, k=10) == theirs == [4, 5, 6]


def test_a_deleted_id_is_never_used_again(memory: LatentMemory) -> None:
    """Else a deleted question's vector comes back as another row, at distance 0."""
    memory.add_many(trace(seed) for seed in range(20))
    recalled(memory, vector(0))
    memory.forget(ids=range(1, 21))
    again = memory.add(trace(99))
    assert again == 21
    assert recalled(memory, vector(19), k=5) == [21]


def test_another_dimension_is_refused_and_says_both(memory: LatentMemory) -> None:
    memory.add(trace(0))
    with pytest.raises(TraceError, match="16 on this one, got 17"):
        memory.recall(vector(0, 17), shelf=SHELF)
    with pytest.raises(TraceError, match="16 on this one, got 17"):
        memory.add(trace(1, embedding=vector(0, 17)))
    with pytest.raises(TraceError, match="8 on this one, got 9"):
        memory.add(trace(1, width=9))
    assert len(memory.list()) == 1
    assert memory.add(trace(1, embedding=vector(0, 17), shelf=in_namespace("other")))


def test_listing_is_newest_first_and_goes_on(memory: LatentMemory) -> None:
    memory.add_many(trace(seed) for seed in range(5))
    memory.add(trace(5, shelf=in_namespace("other")))
    assert [info.id for info in memory.list(limit=2)] == [6, 5]
    assert [info.id for info in memory.list(limit=2, before=5)] == [4, 3]
    assert [info.id for info in memory.list(namespace="other")] == [6]
    assert [info.query for info in memory.list(shelf=SHELF, limit=1)] == ["question 4?"]


def test_streaming_reads_a_shelf_by_id(memory: LatentMemory) -> None:
    memory.add_many(trace(seed) for seed in range(10))
    memory.add(trace(10, shelf=in_namespace("other")))
    assert [stored.id for stored in memory.stream(SHELF, batch=3)] == list(range(1, 11))
    assert [stored.id for stored in memory.stream(SHELF, after=8, batch=2)] == [9, 10]


def test_a_stream_lets_others_write(memory: LatentMemory) -> None:
    memory.add_many(trace(seed) for seed in range(5))
    seen: list[int] = []
    for stored in memory.stream(SHELF, batch=2):
        seen.append(stored.id)
        if stored.id <= 3:
            memory.add(trace(50 + stored.id))
    assert seen == list(range(1, 9))


def test_shelves_and_stats_count(memory: LatentMemory) -> None:
    memory.add_many(trace(seed) for seed in range(3))
    memory.add(trace(3, shelf=in_namespace("b")))
    assert [(info.shelf.namespace, info.traces) for info in memory.shelves()] == [
        ("b", 1),
        ("default", 3),
    ]
    stats = memory.stats()
    assert (stats.traces, stats.path) == (4, memory.place)
    assert stats.database_bytes + stats.log_bytes > 0


def test_texts_are_left_out_on_demand(place: Place) -> None:
    with LatentMemory(place("m.sqlite3"), store_text=False) as memory:
        id_ = memory.add(trace(1, query="a private question", answer="a private answer"))
        stored = memory.get(id_)
        assert stored is not None
        assert (stored.trace.query, stored.trace.answer) == (None, None)
        assert b"private" not in contents(memory)


def test_reading_only_refuses_to_write(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        memory.add(trace(1))
    with LatentMemory(place("m.sqlite3"), mode="read") as memory:
        assert recalled(memory, vector(1)) == [1]
        for write in (lambda: memory.add(trace(2)), lambda: memory.forget(ids=[1])):
            with pytest.raises(ReadOnlyError, match="mode='read-write'"):
                write()
        assert recalled(memory, vector(1)) == [1]


def test_writing_only_refuses_to_recall(place: Place) -> None:
    with LatentMemory(place("m.sqlite3"), mode="write") as memory:
        memory.add(trace(1))
        with pytest.raises(ReadOnlyError, match="mode='write'"):
            memory.recall(vector(1), shelf=SHELF)
    with pytest.raises(ReadOnlyError, match="'append'"):
        LatentMemory(place("m.sqlite3"), mode="append")  # pyright: ignore[reportArgumentType]


def test_a_batch_is_stored_as_a_whole_or_not_at_all(memory: LatentMemory) -> None:
    with pytest.raises(TraceError):
        memory.add_many([trace(1), trace(2), trace(3, score=0.5)])
    assert memory.list() == []
    assert memory.add(trace(1)) in (1, 3)  # a server gives no id again that was taken back


NAN, INFINITE = float("nan"), float("inf")


def with_value(value: float, **options: Any) -> Any:
    array = trace(1, **options).base.copy()
    array[2, 3] = value
    return array


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"base": with_value(NAN)}, r"base latents must be finite, got nan at \(2, 3\)"),
        ({"optimised": with_value(INFINITE)}, r"optimised latents must be finite, got inf"),
        ({"optimised": with_value(1e5)}, "within ±65504, got 100000.0"),
        ({"base": np.ones(8)}, r"\(N, d\).*got shape \(8,\)"),
        ({"base": np.ones((0, 8))}, r"\(N, d\).*got shape \(0, 8\)"),
        ({"base": np.ones((3, 8))}, r"one shape, got \(3, 8\) and \(4, 8\)"),
        ({"base": "latents"}, "array of numbers, got 'latents'"),
        ({"base": np.ones((4, 8), np.complex64)}, "base latents must .* real numbers, got complex"),
        ({"embedding": np.ones((1, 16))}, r"one vector.*got shape \(1, 16\)"),
        ({"embedding": np.full(16, NAN)}, "embedding must be finite, got nan"),
        ({"embedding": np.full(16, 1e300)}, "embedding must be finite, got inf"),
        ({"embedding": np.full(16, 1e30)}, "length below 1e19"),
        ({"tokens": (1, 2, 3, 4, 5)}, "one a latent, got 5 for 4"),
        ({"tokens": (-1,)}, "whole numbers from 0 to 2147483647, got -1"),
        ({"tokens": (True,)}, "whole numbers from 0 to 2147483647, got True"),
        ({"tokens": (2**31,)}, "whole numbers from 0 to 2147483647, got 2147483648"),
        ({"score": 0.5}, r"in \[-1, 0\], got 0.5"),
        ({"score": NAN}, r"in \[-1, 0\], got nan"),
        ({"rewards": ((-0.5, "good"),)}, r"in \[-1, 0\], got 'good'"),
        ({"rewards": (-0.5,)}, "rewards must be one tuple of numbers for each round, got -0.5"),
        ({"steps": 1.5}, "steps must be whole numbers from 0 to 9223372036854775807, got 1.5"),
        ({"steps": 2**63}, "steps must be whole numbers from 0 to .*, got 9223372036854775808"),
        ({"query": "lone \ud800"}, "query must be valid Unicode"),
        ({"answer": "lone \udfff"}, "answer must be valid Unicode"),
        ({"stopped": ""}, "stopped must be a text of 1 to 200"),
        ({"prior": "\0"}, "prior must be a text of 1 to 200"),
    ],
)
def test_a_trace_that_cannot_be_stored_is_refused(
    memory: LatentMemory, changes: dict[str, Any], rule: str
) -> None:
    with pytest.raises(TraceError, match=rule):
        memory.add(trace(1, **changes))
    assert memory.list() == []


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("", "''"),
        ("x" * 201, "201 characters|203 characters"),
        ("x" * 10_000, "10000 characters"),
        ("a\0b", r"a\\x00b"),
        ("\ud800", "lone surrogate"),
        (None, "None"),
        (3, "3"),
    ],
)
@pytest.mark.parametrize("what", ["namespace", "fingerprint", "reward"])
def test_a_name_that_is_none_is_refused(
    memory: LatentMemory, what: str, name: Any, shown: str
) -> None:
    shelf = replace(SHELF, **{what: name})
    for ask in (
        lambda: memory.add(trace(1, shelf=shelf)),
        lambda: memory.recall(vector(1), shelf=shelf),
    ):
        with pytest.raises(TraceError, match=f"{what} must be.*({shown})"):
            ask()
    assert memory.shelves() == []


NAMES = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=200
)


@settings(max_examples=8, deadline=None)
@given(names=st.lists(NAMES, min_size=2, max_size=4, unique=True))
def test_a_name_is_never_anything_but_a_name(names: list[str], tmp_path_factory: Any) -> None:
    names = [*names, "'; DROP TABLE traces; --", 'a"b', "%", "_"]
    names = list(dict.fromkeys(names))
    with LatentMemory(tmp_path_factory.mktemp("names") / "m.sqlite3") as memory:
        shelves = [Shelf(namespace=name, fingerprint=name, reward=name) for name in names]
        ids = memory.add_many(trace(1, shelf=shelf) for shelf in shelves)
        for id_, shelf in zip(ids, shelves, strict=True):
            assert recalled(memory, vector(1), shelf) == [id_]
            assert [info.shelf for info in memory.list(namespace=shelf.namespace)] == [shelf]
        assert memory.forget(namespace=names[0]) == 1
        assert len(memory.list()) == len(names) - 1


def test_texts_are_kept_to_the_letter(memory: LatentMemory) -> None:
    odd = "a\0b\r\n\u2028 \U0001f9e0 '; --" + "x" * 100_000
    stored = memory.get(memory.add(trace(1, query=odd, answer="")))
    assert stored is not None
    assert (stored.trace.query, stored.trace.answer) == (odd, "")


def test_many_threads_may_use_one_memory(memory: LatentMemory) -> None:
    memory.add_many(trace(seed) for seed in range(20))

    def work(thread: int) -> list[int]:
        ids: list[int] = []
        for number in range(10):
            made: Trace = trace(1000 + 100 * thread + number)
            ids.append(memory.add(made))
            assert recalled(memory, made.embedding, k=1) == [ids[-1]]
            assert memory.get(ids[-1]) is not None
        return ids

    with ThreadPoolExecutor(8) as pool:
        ids = [id_ for ids in pool.map(work, range(8)) for id_ in ids]
    assert sorted(ids) == list(range(21, 101))
    assert memory.verify() == []


def test_what_is_forgotten_during_a_recall_is_replaced_by_the_next_best(
    memory: LatentMemory,
) -> None:
    memory.add_many(trace(seed) for seed in range(60))
    gone: list[int] = []

    def forget() -> None:
        for id_ in range(1, 41):
            memory.forget(ids=[id_])
            gone.append(id_)

    thread = threading.Thread(target=forget)
    thread.start()
    while thread.is_alive():
        before = set(gone)
        found = recalled(memory, vector(1000), k=20)
        assert len(set(found)) == 20
        assert not before & set(found)
    thread.join()
    assert sorted(recalled(memory, vector(1000), k=20)) == list(range(41, 61))
