"""How many indexes a process holds, and that nobody notices when one goes."""

import gc
import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from latent_memory import IndexSettings, LatentMemory
from latent_memory.index import shelf_index
from latent_memory.index.index import VectorIndex
from tests.support.memories import in_namespace, recalled, trace, vector

# Lists from 10 vectors on, so that there are files; all searched, so that it is exact.
LISTS = IndexSettings(centre_from=10**9, flat_until=10, members=2, probes=10_000)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "m.sqlite3", index=LISTS) as opened:
        yield opened


def in_memory() -> int:
    gc.collect()
    return sum(type(one) is VectorIndex for one in gc.get_objects())


def test_no_more_are_held_however_many_namespaces_are_asked(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = 12
    monkeypatch.setattr(shelf_index, "OPEN", most)
    before, users = in_memory(), [in_namespace(f"user {number}") for number in range(most + 10)]
    ids = memory.add_many(trace(number, shelf=user) for number, user in enumerate(users))
    for _ in range(2):
        assert [recalled(memory, vector(0), user) for user in users] == [[id_] for id_ in ids]
        assert in_memory() - before == most
    for user in users:
        memory.forget(namespace=user.namespace)
        recalled(memory, vector(0), user)
    for number in range(most):
        recalled(memory, vector(0), in_namespace(f"stranger {number}"))
    assert in_memory() == before


def test_the_one_that_was_not_used_for_longest_goes(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_index, "OPEN", 2)
    ann, bob, cleo = (in_namespace(name) for name in ("ann", "bob", "cleo"))
    of = memory._indexes.of
    first, second = of(ann), of(bob)
    assert of(ann) is first
    of(cleo)
    assert of(ann) is first
    assert of(bob) is not second


def test_an_index_that_goes_while_others_use_it_costs_nothing(
    memory: LatentMemory, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shelf_index, "OPEN", 1)
    users = [in_namespace(f"user {number}") for number in range(3)]
    memory.add_many(trace(seed, shelf=user) for user in users for seed in range(20))

    def work(thread: int) -> None:
        for number in range(12):
            made = trace(1000 + 100 * thread + number, shelf=users[(thread + number) % 3])
            id_ = memory.add(made)
            assert recalled(memory, made.embedding, made.shelf, k=1) == [id_]
            if number % 3 == 2:
                memory.forget(ids=[id_])
                assert id_ not in recalled(memory, made.embedding, made.shelf, k=99)

    with caplog.at_level(logging.WARNING), ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
        memory.close()  # all that is on disk is trusted when it is opened again
        assert [len(recalled(memory, vector(0), user, k=99)) for user in users] == [32, 32, 28]
    assert caplog.text == ""
    assert memory.verify() == []
