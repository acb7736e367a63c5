"""Writing an export: see ``transfer.format`` for what it looks like."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from safetensors import SafetensorError
from safetensors.numpy import save_file
from sqlalchemy import bindparam, func, select

from latent_memory.database import Database
from latent_memory.errors import LocationError, StorageError
from latent_memory.files import sync
from latent_memory.locations import resolve
from latent_memory.progress import Progress
from latent_memory.tables import shelves, traces
from latent_memory.trace import Arrays, StoredTrace
from latent_memory.trace_rows import WHOLE, to_trace
from latent_memory.transfer.format import (
    LINES,
    SHARD,
    LastLine,
    shard_name,
    to_arrays,
    to_line,
)
from latent_memory.transfer.ratings import said_of
from latent_memory.validation import check_name

_AT_ONCE = 200


def export(
    database: Database, folder: Path, *, namespace: str | None, progress: Progress | None
) -> int:
    """Export traces, ``SHARD`` of them in memory at most: see ``LatentMemory.export``."""
    folder = resolve(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LocationError(
            f"an export must go to a new or empty folder, got {str(folder)!r}, which holds "
            "something; give another"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Made with mode 0700: for its owner's eyes only. Gone from here once it has its name.
        with TemporaryDirectory(
            prefix=f".{folder.name}.", dir=folder.parent, ignore_cleanup_errors=True
        ) as partial:
            count = _write(_traces(database, namespace, progress), Path(partial))
            Path(partial).replace(folder)
            sync(folder.parent)
    except (OSError, SafetensorError) as error:
        raise StorageError(
            f"the disk must take an export, but writing {str(folder)!r} failed ({error}); make "
            "room, or give a folder that you may write to"
        ) from error
    return count


def _traces(
    database: Database, namespace: str | None, progress: Progress | None
) -> Iterator[tuple[StoredTrace, Mapping[str, Any]]]:
    chosen = traces.c.id > bindparam("after")
    if namespace is not None:
        chosen &= shelves.c.namespace == check_name("namespace", namespace)
    batch = WHOLE.where(chosen).order_by(traces.c.id).limit(_AT_ONCE)
    count = select(func.count()).select_from(traces).join(shelves, shelves.c.id == traces.c.shelf)
    with database.read() as connection:
        total = connection.execute(count.where(chosen), {"after": 0}).scalar_one()
    done, after, told = 0, 0, set[int]()
    while True:
        with database.read() as connection:  # a short one: a reader keeps the log from shrinking
            rows = connection.execute(batch, {"after": after}).mappings().all()
            said = said_of(connection, [row["id"] for row in rows])
        told.update(id_ for id_, what in said.items() if "feedback" in what)
        for row in rows:
            what = said.get(row["id"], {})
            if "copy_of" in what and what["copy_of"].of not in told:
                continue  # rated since its trace was written
            yield to_trace(row), what
        if len(rows) < _AT_ONCE:
            return
        done, after = done + len(rows), rows[-1]["id"]
        if progress:
            progress(done, max(done, total))


def _write(exported: Iterable[tuple[StoredTrace, Mapping[str, Any]]], folder: Path) -> int:
    count = 0
    arrays: Arrays = {}
    with (folder / LINES).open("w", encoding="utf-8") as lines:
        for stored, said in exported:
            shard = count // SHARD + 1
            lines.write(to_line(stored, shard, said).model_dump_json() + "\n")
            arrays |= to_arrays(stored)
            count += 1
            if count % SHARD == 0:
                _save(arrays, folder / shard_name(shard))
                arrays = {}
        lines.write(LastLine(traces=count).model_dump_json() + "\n")
        lines.flush()
        os.fsync(lines.fileno())
    if arrays:
        _save(arrays, folder / shard_name(count // SHARD + 1))
    sync(folder)
    return count


def _save(arrays: Arrays, file: Path) -> None:
    save_file(arrays, file)
    sync(file)
