"""Traces and memories for the tests of the store."""

import multiprocessing
import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import inspect, text, update

from latent_memory import LatentMemory, Shelf, Trace
from latent_memory import trace_rows as rows
from latent_memory.tables import traces
from latent_migrations import schema_of

SHELF = Shelf(namespace="default", fingerprint="model", reward="checks")


def vector(seed: int, length: int = 16) -> NDArray[np.float32]:
    """An embedding, always the same one for a seed."""
    return np.random.default_rng(seed).standard_normal(length, dtype=np.float32)


def trace(seed: int = 0, *, rows: int = 4, width: int = 8, **changes: Any) -> Trace:
    """A trace, always the same one for a seed, with some of its fields changed."""
    rng = np.random.default_rng([1, seed])
    base = rng.standard_normal((rows, width), dtype=np.float32)
    made = Trace(
        shelf=SHELF,
        query=f"question {seed}?",
        answer=f"answer {seed}.",
        embedding=vector(seed),
        base=base,
        optimised=base + rng.uniform(-0.3, 0.3, base.shape).astype(np.float32),
        tokens=tuple(range(rows)),
        score=-0.125,
        rewards=((-1.0,), (-0.5,), (-0.125,)),
        steps=2,
        stopped="threshold",
    )
    return replace(made, **changes)


def in_namespace(namespace: str) -> Shelf:
    return replace(SHELF, namespace=namespace)


def age(memory: LatentMemory, ids: list[int], days: float) -> None:
    """Let traces be older, checksum and all."""
    with memory.database.write() as connection:
        for id_, stored in rows.read_traces(connection, ids).items():
            created = stored.created - timedelta(days=days)
            row: dict[str, Any] = dict(
                connection.execute(rows.WHOLE.where(traces.c.id == id_)).mappings().one()
            )
            row["created"] = rows.to_time(created)
            checksum = rows._checksum(row, row["vector"], row["bytes"])
            values = {"created": row["created"], "checksum": checksum}
            connection.execute(update(traces).where(traces.c.id == id_).values(**values))


def cosines(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    return vectors @ query / (np.linalg.norm(vectors, axis=1) * np.linalg.norm(query))


def recalled(memory: LatentMemory, query: NDArray[np.float32], shelf: Shelf = SHELF, k: int = 5):
    return [neighbour.stored.id for neighbour in memory.recall(query, shelf=shelf, k=k)]


def held(memory: LatentMemory, namespace: str = "default") -> list[int]:
    """Ids of a namespace's traces, ascending."""
    return sorted(info.id for info in memory.list(namespace=namespace, limit=10_000))


def run_python(code: str, *arguments: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
        **options,
    )
    assert done.returncode == 0, done.stderr
    return done


def bytes_beside(path: Path) -> bytes:
    """All bytes of a database and of whatever lies beside it.

    Read by another process: one that has the database open would drop its locks by closing it.
    """
    done = subprocess.run(
        ["find", str(path.parent), "-type", "f", "-exec", "cat", "{}", "+"],
        capture_output=True,
        check=True,
    )
    return done.stdout


def contents(memory: LatentMemory) -> bytes:
    """All that whoever has a memory can find: the bytes beside its file, or all rows."""
    if isinstance(memory.database.location, Path):
        return bytes_beside(memory.path)
    with memory.database.read() as connection:
        rows = [
            connection.execute(text(f'SELECT CAST(t AS text) FROM "{table}" t')).scalars().all()
            for table in inspect(connection).get_table_names(schema_of(connection))
        ]
    return "\n".join(str(row) for table in rows for row in table).encode()


def as_nobody(work: Callable[[], None]) -> None:
    """Do work as a user who may write to nothing of ours: root may write to everything."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(65534)
                os.setuid(65534)
            work()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


# Forked from a process that has imported all this and does nothing else: no test waits for imports.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.support.memories", "tests.crash.run", "alembic.command"])


class Worker:
    """A function at work in a process of its own, which tells what it returned or raised."""

    def __init__(self, work: Callable[..., Any], *arguments: object) -> None:
        self._answer, told = PROCESSES.Pipe(duplex=False)
        self._process = PROCESSES.Process(target=_tell, args=(told, work, arguments), daemon=True)
        self._process.start()
        told.close()

    def result(self, seconds: float = 100) -> Any:
        assert self._answer.poll(seconds), "no answer"
        kind, value = self._answer.recv()
        self._process.join(seconds)
        assert kind == "returned", value
        return value


def _tell(told: Connection, work: Callable[..., Any], arguments: tuple[object, ...]) -> None:
    try:
        told.send(("returned", work(*arguments)))
    except BaseException:
        told.send(("raised", traceback.format_exc()))
