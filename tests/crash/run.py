"""The rounds: start, kill, look."""

import multiprocessing
import random
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from latent_memory.sqlite import backup
from latent_memory.store import LatentMemory
from tests.crash.check import check, require
from tests.crash.content import SETTINGS
from tests.crash.ledger import Ledger
from tests.crash.migrating import check_migrated, extended_migrations, migrate_copy
from tests.crash.work import work

_LONGEST = 0.5  # seconds that a process is at work until it is killed,
_MIGRATION = 0.15  # or that it migrates
_PATIENCE = 60.0  # seconds that it may take to start
_EVERY = 6  # a round is a migration

# Processes are forked from one that has imported all this and does nothing else.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.crash.run", "alembic.command", "alembic.op"])


def run(kills: int, folder: Path, seed: int, at: str | None = None) -> Iterator[str]:
    """Kill a process that writes to a memory, again and again; yield what was there each time.

    Each round a process adds, rates, forgets, recalls, rebuilds and reopens until it is killed with
    SIGKILL at a random moment; every sixth one migrates a copy of the database instead. Whatever
    was acknowledged must be there then, and right; what was forgotten, out of all files.

    Args:
        kills: How often.
        folder: Where the ledger lies, and the memory.
        seed: Of what is done, and when it ends.
        at: The URL of an empty memory on a server, which is written to instead; it is not migrated.

    Raises:
        AssertionError: If something does not hold.
    """
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    require(not any(folder.iterdir()), f"the folder must be empty, got {str(folder)!r}")
    file, ledger = folder / "memory" / "crash.sqlite3", folder / "ledger.jsonl"
    migrations, database = extended_migrations(folder / "migrations"), at or file
    LatentMemory(database, index=SETTINGS).close()
    begun = time.monotonic()
    for turn in range(1, kills + 1):
        try:
            if turn % _EVERY == 0 and at is None:
                copy = folder / f"migration-{turn}" / "crash.sqlite3"
                outcome = _migration(file, copy, migrations, rng)
            else:
                _kill(work, (database, ledger, seed, turn), rng.uniform(0, _LONGEST))
                outcome = f"{check(database, Ledger(ledger).read(), seed)} traces, all right"
        except AssertionError as error:
            raise AssertionError(f"round {turn} of seed {seed}: {error}") from error
        yield f"{turn:4d}  {outcome}"
    yield f"{kills} kills in {time.monotonic() - begun:.0f} s: nothing lost, nothing invented"


def _kill(target: Callable[..., None], arguments: tuple[Any, ...], delay: float) -> None:
    """Start a process, and kill it ``delay`` seconds after it has got to work."""
    ready, at_work = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_begin, args=(at_work, target, arguments), daemon=True)
    process.start()
    require(ready.poll(_PATIENCE), "a process did not start")
    process.join(delay)
    process.kill()
    process.join()
    code = process.exitcode
    require(code in (0, -signal.SIGKILL), f"the process failed by itself with exit code {code}")


def _begin(at_work: Connection, target: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    at_work.send_bytes(b"at work")
    target(*arguments)


def _migration(database: Path, copy: Path, migrations: Path, rng: random.Random) -> str:
    copy.parent.mkdir()
    backup(database, "copy").rename(copy)
    _kill(migrate_copy, (copy, migrations), rng.uniform(0, _MIGRATION))
    done = check_migrated(copy)
    if not done:
        process = _processes.Process(target=migrate_copy, args=(copy, migrations), daemon=True)
        process.start()
        process.join()
        require(check_migrated(copy), "a migration that was killed can't be done again")
    return f"the killed migration was {'done' if done else 'not done, and then was'}"
