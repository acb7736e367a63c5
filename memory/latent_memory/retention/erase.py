"""Forgetting: rows, and every other place that holds their bytes."""

from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, bindparam, delete, exists, insert, select, update

from latent_memory.database import Database
from latent_memory.erasure_log import EVICTED, EXPIRED, FOR_AGE, FOR_ROOM, WISHED, note
from latent_memory.errors import StorageError
from latent_memory.index.index_state import drop_snapshot
from latent_memory.priors.priors import (
    FORGOTTEN,
    erased_from,
    kept_name,
    kept_names,
)
from latent_memory.priors.publishing import withdraw_forgotten
from latent_memory.retention.said import drop_feedback, with_partners
from latent_memory.retention.selection import in_chunks
from latent_memory.tables import (
    deletions,
    embeddings,
    latents,
    priors,
    shelves,
    sources,
    texts,
    traces,
)
from latent_memory.trace_rows import to_time

_WHY = {EVICTED: FOR_ROOM, EXPIRED: FOR_AGE}
AT_ONCE = 500  # traces a transaction: other writers get their turn, and the log stays short

_THESE = traces.c.id.in_(bindparam("ids", expanding=True))
_SHELVES_OF = select(traces.c.id, traces.c.shelf).where(_THESE)
_DELETE = delete(traces).where(_THESE)
_EMPTY = tuple(
    update(content).where(content.c.trace.in_(bindparam("ids", expanding=True))).values(nothing)
    for content, nothing in (
        (texts, dict.fromkeys(("query", "answer", "tokens", "conversation", "settings"))),
        (latents, {"bytes": b""}),
        (embeddings, {"vector": b""}),
    )
)
_DELETE_EMPTY = (
    delete(shelves)
    .where(shelves.c.id.in_(bindparam("shelves", expanding=True)))
    .where(~exists().where(traces.c.shelf == shelves.c.id))
    .returning(shelves.c.id)
)
# All that a prior learnt from there was evicted: nothing is left that could be forgotten.
_DELETE_SOURCES = delete(sources).where(
    sources.c.shelf.in_(bindparam("shelves", expanding=True)),
    ~erased_from(deletions.c.evicted != FOR_ROOM),
)
_DELETE_DELETIONS = delete(deletions).where(
    deletions.c.shelf.in_(bindparam("shelves", expanding=True))
)
_ORPHANS = select(priors.c.file).where(
    priors.c.file.is_not(None),
    priors.c.shelf.in_(bindparam("shelves", expanding=True)),
    ~exists().where(traces.c.shelf == priors.c.shelf),
)
_FILES = select(priors.c.file).where(priors.c.file.is_not(None), FORGOTTEN)
_DROP_FILES = update(priors).where(FORGOTTEN).values(file=None, checksum=None)


@dataclass(frozen=True, kw_only=True)
class Gone:
    """What a transaction deleted.

    Attributes:
        traces: How many traces.
        shelves: The shelves that were empty then.
        priors: Names of the files of priors that lay on them.
    """

    traces: int = 0
    shelves: Sequence[int] = ()
    priors: Sequence[str | None] = ()


def erase(database: Database, ids: Iterable[int], *, reason: str, strict: bool = False) -> int:
    """Erase traces: their rows, the log's copies of them, our backups; return how many there were.

    For evicted traces, backups stay, and so do priors that learnt from them. For expired ones,
    priors stay until the next night on their shelf, which is not due for them alone.

    A kill leaves some of them; they are whole, and can be forgotten again. The name of a namespace
    whose last trace is erased can stay in a gap of the file until ``compact``. Priors that learnt
    from forgotten traces are trained again in the next night; with ``strict`` they are withdrawn
    and their files deleted at once, as those of an empty shelf always are; so is what interrupted
    nights have done.

    Raises:
        ReadOnlyError: If the database is open for reading only.
        StorageError: If the disk or the database refuses; or if the traces are erased, but a file
            that may hold them cannot be deleted.
    """
    wanted = sorted(set(ids))
    left: list[str] = []
    if wanted and reason != EVICTED and not database.readonly:
        left += database.delete_backups()
    forgotten, entry = 0, None
    for chunk in in_chunks(wanted, AT_ONCE):
        with database.write() as connection:
            gone = delete_traces(connection, chunk, reason)
            withdrawn: Sequence[str | None] = ()
            if strict:
                withdrawn = connection.execute(_FILES).scalars().all()
                withdraw_forgotten(connection)
                connection.execute(_DROP_FILES)
            if gone.traces:
                entry = note(connection, reason, gone.traces, datetime.now(UTC), entry)
        forgotten += gone.traces
        left += drop_files(database, gone.shelves, (*gone.priors, *withdrawn))
    if strict:  # they learn from other shelves too
        left += delete_files(database, kept_names(database))
    database.empty_log()
    if left and reason not in (EVICTED, EXPIRED):
        names = ", ".join(map(repr, left))
        raise StorageError(
            f"what is forgotten must leave every file, but {names} cannot be deleted; the database "
            "holds it no longer; make the folder writable, and delete what is left there yourself"
        )
    return forgotten


def drop_files(
    database: Database, shelves: Iterable[int], priors: Iterable[str | None] = ()
) -> Sequence[str]:
    """Delete files of shelves that are gone, and priors' files; return what cannot be."""
    left: list[str] = []
    for shelf in shelves:
        left += drop_snapshot(database, shelf)
        left += database.files.delete(kept_name(shelf))
    return left + delete_files(database, (name for name in priors if name is not None))


def delete_files(database: Database, names: Iterable[str]) -> list[str]:
    """Delete named files of a memory; return what cannot be."""
    return [left for name in names for left in database.files.delete(name)]


def delete_traces(connection: Connection, ids: Sequence[int], reason: str) -> Gone:
    """Delete traces, and the shelves that are empty then, with their priors and nights.

    A rated trace and its copy on the shelf of feedback go together, with what was said of them.
    """
    asked, ids = set(ids), with_partners(connection, ids)
    drop_feedback(connection, ids)
    return _delete_rows(connection, ids, reason, asked)


def delete_copy(connection: Connection, id: int) -> None:
    """Delete a trace's old copy on the shelf of feedback, where a newer one has its place."""
    _delete_rows(connection, [id], EVICTED, {id})


def _delete_rows(connection: Connection, ids: Sequence[int], reason: str, asked: Set[int]) -> Gone:
    rows = connection.execute(_SHELVES_OF, {"ids": ids}).all()
    if not rows:
        return Gone()
    both = {"deleted": to_time(datetime.now(UTC)), "evicted": _WHY.get(reason, WISHED)}
    connection.execute(
        insert(deletions), [{"trace": row.id, "shelf": row.shelf, **both} for row in rows]
    )
    for empty in _EMPTY:
        connection.execute(empty, {"ids": ids})
    connection.execute(_DELETE, {"ids": ids})
    touched = {"shelves": sorted({row.shelf for row in rows})}
    orphans = connection.execute(_ORPHANS, touched).scalars().all()
    emptied = connection.execute(_DELETE_EMPTY, touched).scalars().all()
    connection.execute(_DELETE_SOURCES, {"shelves": emptied})
    connection.execute(_DELETE_DELETIONS, {"shelves": emptied})
    return Gone(traces=sum(row.id in asked for row in rows), shelves=emptied, priors=orphans)
