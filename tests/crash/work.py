"""The process that is killed: it adds, rates, forgets, recalls and reopens."""

import logging
import random
from pathlib import Path

from latent_memory.feedback.rating import correct, read_copies
from latent_memory.feedback.rows import unread_corrections
from latent_memory.store import LatentMemory
from tests.crash.content import SETTINGS, SHELF, make_feedback, make_trace
from tests.crash.ledger import Ledger


def work(database: Path | str, ledger_file: Path, seed: int, turn: int) -> None:
    """Write to a memory until killed."""
    logging.disable(logging.WARNING)  # of index files that the kill before cut short
    worker = _Worker(database, Ledger(ledger_file).read(), seed)
    rng = random.Random(f"{seed} {turn}")
    actions = (
        *(worker.add, worker.rate, worker.read, worker.forget),
        *(worker.recall, worker.rebuild, worker.reopen),
    )
    while True:
        rng.choices(actions, weights=(12, 6, 2, 3, 3, 1, 1))[0](rng)


class _Worker:
    def __init__(self, database: Path | str, ledger: Ledger, seed: int) -> None:
        self._database, self._ledger, self._seed = database, ledger, seed
        self._alive = sorted(set(ledger.stored) - ledger.leaving)
        self._number, self._piece = ledger.last, ledger.last_said
        self._memory = LatentMemory(database, index=SETTINGS)

    def add(self, rng: random.Random) -> None:
        numbers = range(self._number + 1, self._number + 1 + rng.choice((1, 1, 1, 5, 20)))
        self._number = numbers[-1]
        self._ledger.note("adding", self._number)
        ids = self._memory.add_many(make_trace(self._seed, one) for one in numbers)
        for id_, one in zip(ids, numbers, strict=True):
            self._ledger.note("added", id_, one)
            self._ledger.stored[id_] = one
        self._alive += ids

    def rate(self, rng: random.Random) -> None:
        for id_ in rng.sample(self._alive, min(3, len(self._alive))):
            self._piece += 1
            self._ledger.note("rating", id_, self._piece)
            given = make_feedback(self._seed, self._ledger.stored[id_], self._piece)
            self._memory.rate(id_, given, namespace=SHELF.namespace)
            self._ledger.note("rated", id_, self._piece)

    def read(self, rng: random.Random) -> None:
        del rng
        database = self._memory.database
        with database.read() as connection:
            waiting = unread_corrections(connection, SHELF.namespace, 3)
        for one in waiting:
            for copy in read_copies(database, [one]):
                base = copy.trace.base
                correct(database, one, copy, base, base + 0.1, copy.trace.tokens)

    def forget(self, rng: random.Random) -> None:
        rng.shuffle(self._alive)
        count = 5 if len(self._alive) < 500 else len(self._alive) // 2
        ids, self._alive = self._alive[:count], self._alive[count:]
        self._ledger.note("forgetting", *ids)
        self._memory.forget(ids=ids)
        self._ledger.note("forgot", *ids)

    def recall(self, rng: random.Random) -> None:
        query = make_trace(self._seed, rng.randint(0, self._number)).embedding
        self._memory.recall(query, shelf=SHELF)

    def rebuild(self, rng: random.Random) -> None:
        del rng
        self._memory.rebuild()

    def reopen(self, rng: random.Random) -> None:
        del rng
        self._memory.close()
        self._memory = LatentMemory(self._database, index=SETTINGS)
