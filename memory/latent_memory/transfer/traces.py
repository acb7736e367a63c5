"""Export and import of a database's traces."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sqlalchemy import bindparam, func, select

from latent_memory.errors import ImportFileError, TraceError
from latent_memory.progress import Progress
from latent_memory.sqlite import Database
from latent_memory.tables import shelves, traces
from latent_memory.trace import StoredTrace, Trace, without_texts
from latent_memory.trace_rows import WHOLE, insert_trace, to_trace
from latent_memory.transfer.exporting import write_export
from latent_memory.transfer.importing import read_export
from latent_memory.validation import check_name

_AT_ONCE = 200


def export(
    database: Database,
    folder: Path,
    *,
    namespace: str | None = None,
    progress: Progress | None = None,
) -> int:
    """Export all traces, or those of one namespace; return how many there were.

    Raises:
        DamageError: If one is not as it was stored.
        LocationError: If the folder holds something already.
        StorageError: If it cannot be written.
    """
    return write_export(_traces(database, namespace, progress), folder)


def _traces(
    database: Database, namespace: str | None, progress: Progress | None
) -> Iterator[StoredTrace]:
    chosen = traces.c.id > bindparam("after")
    if namespace is not None:
        chosen &= shelves.c.namespace == check_name("namespace", namespace)
    batch = WHOLE.where(chosen).order_by(traces.c.id).limit(_AT_ONCE)
    count = select(func.count()).select_from(traces).join(shelves, shelves.c.id == traces.c.shelf)
    with database.read() as connection:
        total = connection.execute(count.where(chosen), {"after": 0}).scalar_one()
    done, after = 0, 0
    while True:
        with database.read() as connection:  # a short one: a reader keeps the log from shrinking
            rows = connection.execute(batch, {"after": after}).mappings().all()
        yield from map(to_trace, rows)
        if len(rows) < _AT_ONCE:
            return
        done, after = done + len(rows), rows[-1]["id"]
        if progress:
            progress(done, max(done, total))


def import_(
    database: Database,
    folder: Path,
    *,
    namespace: str | None = None,
    store_text: bool = True,
    progress: Progress | None = None,
) -> int:
    """Import an export, all of it or nothing; return how many traces there were.

    They get new ids. Neighbours keep pointing at each other; one that was not exported with them
    is left out. Other processes that write wait until it is done.

    Args:
        database: Where to.
        folder: The folder that was exported to.
        namespace: Put all into this namespace; by default each stays in its own.
        store_text: Whether questions and answers are stored too.
        progress: Told how many bytes of how many have been read.

    Raises:
        ImportFileError: If it is not a whole export.
        StorageError: If the disk or the database refuses.
    """
    if namespace is not None:
        check_name("namespace", namespace)
    ids: dict[int, int] = {}
    with database.write() as connection:
        for exported in read_export(folder, progress):
            trace = _adopted(exported.trace, ids, namespace, store_text)
            try:
                ids[exported.id] = insert_trace(connection, trace, exported.created)
            except TraceError as error:
                raise ImportFileError(
                    f"an import must fit what is there, but its trace {exported.id} does not: "
                    f"{error}; nothing was imported; import it into a namespace of its own"
                ) from error
    return len(ids)


def _adopted(trace: Trace, ids: dict[int, int], namespace: str | None, store_text: bool) -> Trace:
    trace = replace(trace, neighbours=tuple(ids[old] for old in trace.neighbours if old in ids))
    if namespace is not None:
        trace = replace(trace, shelf=replace(trace.shelf, namespace=namespace))
    return trace if store_text else without_texts(trace)
