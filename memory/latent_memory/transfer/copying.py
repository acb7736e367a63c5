"""A whole memory into an empty one: all rows under their ids, and all named files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select

from latent_memory.database import Database
from latent_memory.errors import LocationError
from latent_memory.progress import Progress
from latent_memory.tables import (
    embeddings,
    erasures,
    feedback,
    latents,
    metadata,
    texts,
    traces,
)

_AT_ONCE = 200  # rows; the latents of a trace are some 60 KB

# What forgotten traces left is emptied rows: they stay behind.
_KEPT = {
    **{part.name: part.c.trace.in_(select(traces.c.id)) for part in (latents, embeddings, texts)},
    feedback.name: feedback.c.trace != 0,
}
_CHANGED: Mapping[str, Mapping[str, Any]] = {erasures.name: {"emptied": 0}}


def copy(source: Database, target: Database, progress: Progress | None = None) -> int:
    """Copy one memory into another, all or nothing; return how many traces there were.

    Ids, times, feedback, nights, priors, limits and the record of erasures are the same there, and
    new ids come after all that the source ever gave. Both may be in SQLite or PostgreSQL. What is
    written to the source meanwhile is not copied.

    Args:
        source: The memory to copy; it is only read.
        target: An empty memory.
        progress: Called with how many rows of how many are done.

    Raises:
        LocationError: If the target holds something, or had, or is the source.
        StorageError: If either refuses.
    """
    if source.location == target.location:
        raise LocationError(
            f"a memory must be copied to another place, got {str(source.place)!r} twice; "
            "name an empty one"
        )
    with target.read() as connection:
        _require_empty(connection, target)
    for file in source.files.list():  # first: what breaks off leaves it empty
        target.files.write(file.name, source.files.read(file.name))
    with source.read() as reading, target.write() as writing:
        _require_empty(writing, target)
        highest = source.highest_ids(reading)
        total, done = sum(_count(reading, table) for table in metadata.sorted_tables), 0
        for table in metadata.sorted_tables:
            for rows in _rows(reading, table):
                writing.execute(insert(table), rows)
                done += len(rows)
                if progress:
                    progress(done, max(done, total))
        target.set_highest_ids(writing, highest)
        return writing.scalar(select(func.count()).select_from(traces)) or 0


def _require_empty(connection: Connection, target: Database) -> None:
    held = any(_count(connection, table) for table in metadata.sorted_tables)
    if held or any(target.highest_ids(connection).values()):
        raise LocationError(
            f"a memory must be copied into an empty one, for its ids to stay, but "
            f"{str(target.place)!r} holds something, or did; name a new place, or add to that one "
            "with: latent-agent memory export, then import"
        )


def _count(connection: Connection, table: Table) -> int:
    wanted = select(func.count()).select_from(table)
    return (
        connection.scalar(wanted.where(_KEPT[table.name]) if table.name in _KEPT else wanted) or 0
    )


def _rows(connection: Connection, table: Table) -> Iterator[Sequence[dict[str, Any]]]:
    wanted = select(table).order_by(*table.primary_key)
    if table.name in _KEPT:
        wanted = wanted.where(_KEPT[table.name])
    result = connection.execution_options(yield_per=_AT_ONCE).execute(wanted)
    for rows in result.mappings().partitions(_AT_ONCE):
        yield [{**row, **_CHANGED.get(table.name, {})} for row in rows]
