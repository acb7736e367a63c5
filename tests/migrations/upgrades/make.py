"""Writes a small memory as this program writes it, to be opened by later ones.

Once for each migration revision, before the next one is made:

    python tests/migrations/upgrades/make.py tests/migrations/upgrades/0003

It needs nothing of the tests, so that it also runs on an older checkout:

    git worktree add ../old COMMIT
    PYTHONPATH=../old:../old/memory:../old/migrations \\
        python tests/migrations/upgrades/make.py FOLDER
"""

import gzip
import shutil
import sqlite3
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from latent_memory import LatentMemory, Shelf, Trace

SHELF = Shelf(namespace="default", fingerprint="model", reward="checks")
COUNT, FORGOTTEN = 12, (3, 7)
FILE, FIRST = "memory.sqlite3", "0001"


def made(number: int) -> Trace:
    """The trace of a number, always the same."""
    random = np.random.default_rng([8, number])
    base = random.standard_normal((3, 8), dtype=np.float32)
    return Trace(
        shelf=SHELF if number % 4 else replace(SHELF, namespace="other"),
        query=f"question {number}?" if number % 5 else None,
        answer=f"answer {number}",
        embedding=random.standard_normal(16, dtype=np.float32),
        base=base,
        optimised=base + random.uniform(-0.3, 0.3, base.shape).astype(np.float32),
        tokens=(number, 2, 3),
        score=-number / 16,
        rewards=((-1.0,), (-number / 16,)),
        steps=number,
        stopped="threshold",
        neighbours=(1,) if number > 1 else (),
        prior="1" if number == COUNT else None,
    )


def call_of(number: int) -> dict[str, str | None]:
    """What a trace keeps of its call since revision 0006."""
    return {
        "conversation": f'{{"turns": [{number}]}}' if number % 3 else None,
        "settings": f'{{"prefix_tokens": {number}}}' if number % 2 else None,
    }


def publish_prior(memory: LatentMemory) -> None:
    """Put an untrained active prior, with its night and its file."""
    from latent_agent.recall.prior_checkpoint import PriorCard, save_prior
    from latent_agent.recall.prior_network import LatentPrior, PriorShape
    from latent_memory.priors.nights import Result, begin_night, end_night
    from latent_memory.priors.priors import source_of
    from latent_memory.priors.publishing import note_file, publish, reserve
    from latent_memory.sqlite import Folder, priors_folder

    database = memory.database
    source = source_of(database, SHELF)
    assert source is not None
    night = begin_night(database, SHELF, seed=0, inputs={})
    version = reserve(database, [source], night=night, positions=3)
    prior = LatentPrior(PriorShape(positions=3, width=8, embedding=16, hidden=4), seed=5)
    card = PriorCard(
        version=str(version), namespace=SHELF.namespace, fingerprint=SHELF.fingerprint,
        reward=SHELF.reward, first_trace=source.first, last_trace=source.last, shape=prior.shape,
    )  # fmt: skip
    path = priors_folder(memory.path) / f"{version}.safetensors"
    signed = save_prior(prior, card, Folder(path.parent), path.name)
    note_file(database, version, path.name, signed.checksum)
    publish(database, version)
    result = Result(
        verdict="published", reason="better", seconds=1.5, last=source.last, losses=[1.0, 0.5],
        gate={},
    )  # fmt: skip
    end_night(database, night, result)


def undo_second(connection: sqlite3.Connection) -> None:
    """Leave a memory of the second revision as the first one has it.

    No program's newest revision was the first one in its final form: the second came with it.
    """
    for table in ("sources", "priors", "nights"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("UPDATE alembic_version SET version_num = ?", [FIRST])
    connection.commit()


def write(folder: Path) -> None:
    """Write a memory into a new folder, as one file and what lies beside it."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / FILE
        with LatentMemory(path) as memory:
            traces = [made(number) for number in range(1, COUNT + 1)]
            if folder.name >= "0006":
                traces = [replace(one, **call_of(number)) for number, one in enumerate(traces, 1)]
            memory.add_many(traces)
            memory.forget(ids=FORGOTTEN)
            if folder.name != FIRST:
                publish_prior(memory)
        connection = sqlite3.connect(path)
        if folder.name == FIRST:
            undo_second(connection)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        shutil.copytree(
            place, folder, ignore=shutil.ignore_patterns("*-wal", "*-shm", "*.lock", FILE)
        )
        (folder / f"{FILE}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
