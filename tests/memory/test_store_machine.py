"""The store against a plain dict, through crashes, reopenings and lost index files.

`make test-all` tries more examples; for as many as you like:
``PROPERTY_EXAMPLES=10000 python -m pytest tests/memory/test_store_machine.py -n 0``.
"""

import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from latent_memory import LatentMemory, Limits, StorageError, Trace, TraceError, TraceInfo
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.sqlite import index_folder
from tests.support.examples import examples
from tests.support.memories import in_namespace, recalled, trace, vector

# Lists, and so files, from seven traces on; all of them searched, and nothing centred, so that a
# plain cosine says what is right.
SETTINGS = IndexSettings(centre_from=10**9, flat_until=6, members=1, probes=10**6)
# Hundreds of small databases, whose durability is not the question: no disk is waited for.
FAST = Path("/dev/shm")
NAMESPACES = st.sampled_from(["ann", "ben", "../ann"])
SEEDS = st.integers(0, 12)  # few, so that some embeddings are the same


@dataclass(frozen=True)
class Kept:
    """What the dict holds for a trace."""

    namespace: str
    seed: int
    number: int

    def trace(self) -> Trace:
        return trace(
            self.seed,
            shelf=in_namespace(self.namespace),
            query=f"question <{self.number}>",
            answer=f"answer <{self.number}>",
        )


class PowerCutError(Exception):
    """The moment at which the files are copied and the process is thought dead."""


@cache
def empty_memory() -> bytes:
    """A new memory's file: making one by migrations takes longer than all the rest."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.sqlite3"
        LatentMemory(path).close()
        return path.read_bytes()


class StoreMachine(RuleBasedStateMachine):
    """Every rule does the same to a memory and to a dict, and compares."""

    ids = Bundle("ids")

    def __init__(self) -> None:
        super().__init__()
        logging.disable(logging.WARNING)  # of index files that a crash cut short
        self.root = Path(tempfile.mkdtemp("-store-machine", dir=FAST if FAST.is_dir() else None))
        self.lives, self.number, self.highest = 0, 0, 0
        self.kept: dict[int, Kept] = {}
        self.gone: set[int] = set()
        self.capacity: int | None = None
        self.total: int | None = None

    @initialize()
    def begin(self) -> None:
        self.memory = LatentMemory(self.new_place(), index=SETTINGS)

    def new_place(self) -> Path | str:
        path = self.root / "0" / "m.sqlite3"
        path.parent.mkdir()
        path.write_bytes(empty_memory())
        path.chmod(0o600)
        return path

    def made(self, namespace: str, seeds: list[int]) -> list[Kept]:
        self.number += len(seeds)
        first = self.number - len(seeds)
        return [Kept(namespace, seed, first + at) for at, seed in enumerate(seeds)]

    def forgotten(self, ids: list[int]) -> None:
        for id_ in ids:
            self.gone.add(self.kept.pop(id_).number)

    # ------------------------------------------------------------------ adding

    @rule(target=ids, namespace=NAMESPACES, seeds=st.lists(SEEDS, min_size=1, max_size=5))
    def add(self, namespace: str, seeds: list[int]):
        made = self.made(namespace, seeds)
        ids = self.memory.add_many(one.trace() for one in made)
        assert ids == sorted(ids)
        assert ids[0] > self.highest, "an id was used again"
        self.highest = ids[-1]
        self.kept |= dict(zip(ids, made, strict=True))
        self.evict(namespace, len(ids))
        assert set(ids) <= set(self.kept), "a new trace was evicted"
        return multiple(*ids)

    def evict(self, namespace: str, added: int) -> None:
        """Let the dict lose what the memory evicted; it says how many, not which."""
        names = {one.namespace for one in self.kept.values()}
        before = {name: self.of(name) for name in names}
        sizes = {name: len(ids) for name, ids in before.items()}
        if self.capacity is not None and sizes[namespace] > self.capacity:
            sizes[namespace] = max(self.capacity, added)
        if self.total is not None and sum(sizes.values()) > self.total:
            share = max(
                most
                for most in range(self.total + 1)
                if sum(min(size, most) for size in sizes.values()) <= self.total
            )
            for name, size in sizes.items():
                if size > share:
                    sizes[name] = max(share, added) if name == namespace else share
        for name, ids in before.items():
            left = {info.id for info in self.listed(name)}
            assert left <= set(ids)
            assert len(left) == sizes[name]
            self.forgotten(sorted(set(ids) - left))

    def of(self, namespace: str) -> list[int]:
        return sorted(id_ for id_, one in self.kept.items() if one.namespace == namespace)

    @rule(capacity=st.none() | st.integers(4, 12), total=st.none() | st.integers(6, 19))
    def limit(self, capacity: int | None, total: int | None) -> None:
        self.memory.set_limits(Limits(capacity=capacity, total=total))
        self.capacity, self.total = capacity, total

    @rule(namespace=NAMESPACES, seeds=st.lists(SEEDS, min_size=1, max_size=5))
    def add_one_that_is_refused(self, namespace: str, seeds: list[int]) -> None:
        """The whole batch is refused then."""
        made = [one.trace() for one in self.made(namespace, seeds)]
        made[-1] = replace(made[-1], score=0.5)
        with pytest.raises(TraceError, match="rewards must be"):
            self.memory.add_many(made)

    # ------------------------------------------------------------------ forgetting

    @rule(chosen=st.lists(consumes(ids), min_size=1, max_size=3))
    def forget(self, chosen: list[int]) -> None:
        there = [id_ for id_ in dict.fromkeys(chosen) if id_ in self.kept]
        assert self.memory.forget(ids=chosen) == len(there)
        self.forgotten(there)

    @rule(namespace=NAMESPACES)
    def forget_namespace(self, namespace: str) -> None:
        there = self.of(namespace)
        assert self.memory.forget(namespace=namespace) == len(there)
        self.forgotten(there)

    @rule(id_=ids, ahead=st.booleans())
    def forget_what_is_older(self, id_: int, ahead: bool) -> None:
        stored = self.memory.get(id_)
        if stored is None:
            return
        moment = stored.created + timedelta(microseconds=ahead)
        there = [
            info.id for info in self.memory.list(limit=10**6) if info.created < moment
        ]  # all of one batch have one time
        assert self.memory.forget(older_than=moment) == len(there)
        self.forgotten(there)

    @rule(keep=st.integers(1, 8), namespace=NAMESPACES)
    def prune(self, keep: int, namespace: str) -> None:
        before = set(self.of(namespace))
        count = self.memory.prune(keep=keep, namespace=namespace)
        assert count == max(0, len(before) - keep)
        left = {info.id for info in self.listed(namespace)}
        assert left <= before
        self.forgotten(sorted(before - left))

    # ------------------------------------------------------------------ asking

    @rule(namespace=NAMESPACES, seed=SEEDS, k=st.integers(1, 9))
    def recall(self, namespace: str, seed: int, k: int) -> None:
        there = self.of(namespace)
        found = recalled(self.memory, vector(seed), in_namespace(namespace), k)
        if not there:
            assert found == []
            return
        rows = np.stack([vector(self.kept[id_].seed) for id_ in there])
        likeness = rows @ vector(seed) / np.linalg.norm(rows, axis=1)
        # Equal embeddings are equally near, and rounding may not decide between them.
        rank = {id_: float(np.round(one, 4)) for id_, one in zip(there, likeness, strict=True)}
        assert found == sorted(there, key=lambda id_: (-rank[id_], id_))[:k]

    @rule(id_=ids)
    def get(self, id_: int) -> None:
        stored = self.memory.get(id_)
        assert (stored is not None) == (id_ in self.kept)
        if stored is not None:
            self.compare(id_, stored.trace)

    def compare(self, id_: int, got: Trace) -> None:
        made = self.kept[id_].trace()
        assert (got.shelf, got.query, got.answer) == (made.shelf, made.query, made.answer)
        assert (got.tokens, got.score, got.rewards) == (made.tokens, made.score, made.rewards)
        np.testing.assert_array_equal(got.embedding, made.embedding)
        np.testing.assert_allclose(got.base, made.base, atol=2e-3)
        np.testing.assert_allclose(got.optimised, made.optimised, atol=5e-3)

    # ------------------------------------------------------------------ moving, mending

    @rule(namespace=NAMESPACES)
    def move(self, namespace: str) -> None:
        """Export a namespace, forget it, and import it again."""
        folder = self.root / f"export-{self.number}-{self.highest}-{len(self.gone)}"
        there = self.of(namespace)
        assert self.memory.export(folder, namespace=namespace) == len(there)
        assert self.memory.forget(namespace=namespace) == len(there)
        old = {f"question <{self.kept[id_].number}>": self.kept.pop(id_) for id_ in there}
        assert self.memory.import_(folder) == len(old)
        shutil.rmtree(folder)
        new = {info.id: old.pop(info.query or "") for info in self.listed(namespace)}
        assert len(new) == len(there) or len(new) == self.capacity, "some did not come along"
        self.gone |= {one.number for one in old.values()}
        assert not new or min(new) > self.highest
        self.highest = max([self.highest, *new])
        self.kept |= new

    def listed(self, namespace: str) -> list[TraceInfo]:
        return self.memory.list(namespace=namespace, limit=10**6)

    @rule()
    def rebuild(self) -> None:
        assert self.memory.rebuild() == len(self.kept)

    @rule()
    def compact(self) -> None:
        self.memory.compact()

    # ------------------------------------------------------------------ accidents

    @rule()
    def reopen(self) -> None:
        self.memory.close()
        self.memory = LatentMemory(self.memory.database.location, index=SETTINGS)

    @rule()
    def delete_index(self) -> None:
        shutil.rmtree(index_folder(self.memory.path), ignore_errors=True)

    @rule(share=st.floats(0, 1), flip=st.booleans())
    def damage_index(self, share: float, flip: bool) -> None:
        for file in index_folder(self.memory.path).glob("*.index"):
            content = bytearray(file.read_bytes())
            at = min(int(share * len(content)), len(content) - 1)
            content[at] ^= 1
            file.write_bytes(content if flip else content[:at])

    @rule()
    def crash(self) -> None:
        """The process dies between two deeds: nothing is closed, only the files are left."""
        self.go_on_with(self.copied())

    @rule(namespace=NAMESPACES, seeds=st.lists(SEEDS, min_size=2, max_size=5))
    def crash_while_adding(self, namespace: str, seeds: list[int]) -> None:
        """The process dies in the middle of a transaction: nothing of it may be left."""
        left: list[Path] = []

        def until_the_cut() -> Iterator[Trace]:
            *most, _ = self.made(namespace, seeds)
            yield from (one.trace() for one in most)
            left.append(self.copied())
            raise PowerCutError

        with pytest.raises((PowerCutError, StorageError)):
            self.memory.add_many(until_the_cut())
        self.go_on_with(left[0])

    def copied(self) -> Path:
        self.lives += 1
        here = self.memory.path.parent
        there = self.root / str(self.lives)
        shutil.copytree(here, there, ignore=shutil.ignore_patterns("*-shm"))
        return there

    def go_on_with(self, folder: Path) -> None:
        """Leave the dead process's files, and open the copy."""
        self.memory.close()
        shutil.rmtree(self.memory.path.parent)
        self.memory = LatentMemory(folder / "m.sqlite3", index=SETTINGS)

    # ------------------------------------------------------------------ always

    @invariant()
    def listing_equals_the_dict(self) -> None:
        if not hasattr(self, "memory"):
            return
        listed = {
            info.id: (info.shelf.namespace, info.query) for info in self.memory.list(limit=10**6)
        }
        assert listed == {
            id_: (one.namespace, f"question <{one.number}>") for id_, one in self.kept.items()
        }
        assert self.memory.stats().traces == len(self.kept)
        assert all(info.created <= datetime.now(UTC) for info in self.memory.list(limit=1))

    def teardown(self) -> None:
        try:
            if hasattr(self, "memory"):
                self.look_at_everything()
        finally:
            shutil.rmtree(self.root)
            logging.disable(logging.NOTSET)

    def look_at_everything(self) -> None:
        assert self.memory.verify() == []
        for info in self.memory.shelves():
            for stored in self.memory.stream(info.shelf, batch=3):
                self.compare(stored.id, stored.trace)
        content = self.left_behind()
        left = {int(number) for number in re.findall(rb"(?:question|answer) <(\d+)>", content)}
        assert not left & self.gone, "what was forgotten is still in the files"

    def left_behind(self) -> bytes:
        self.memory.close()
        files = [file for file in self.memory.path.parent.rglob("*") if file.is_file()]
        return b"".join(file.read_bytes() for file in files)


TestStore = StoreMachine.TestCase
TestStore.settings = examples(30, stateful_step_count=20)


@pytest.mark.slow
@pytest.mark.timeout(1200)
class TestStoreForLong(StoreMachine.TestCase):
    settings = examples(200, stateful_step_count=20)
