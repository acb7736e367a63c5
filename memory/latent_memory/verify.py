"""Whether what is stored is what was written."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, bindparam, func, select

from latent_memory.database import Database
from latent_memory.errors import DamageError
from latent_memory.progress import Progress
from latent_memory.tables import (
    embeddings,
    feedback,
    latents,
    ratings,
    shelves,
    texts,
    traces,
)
from latent_memory.trace_rows import WHOLE, to_trace

_AT_ONCE = 200

_NEXT = (
    WHOLE.add_columns(shelves.c.dimension, shelves.c.width)
    .where(traces.c.id > bindparam("after"))
    .order_by(traces.c.id)
    .limit(_AT_ONCE)
)

# Rows of forgotten traces stay, but emptied.
_LEFT = {
    table.name: select(table.c.trace).where(filled, table.c.trace.not_in(select(traces.c.id)))
    for table, filled in (
        (latents, func.length(latents.c.bytes) > 0),
        (embeddings, func.length(embeddings.c.vector) > 0),
        (
            texts,
            func.coalesce(*(column for column in texts.c if column.name != "trace")).is_not(None),
        ),
        (feedback, feedback.c.trace > 0),
    )
}
_UNPAIRED = select(ratings.c.trace).where(
    ratings.c.trace.not_in(select(traces.c.id)) | ratings.c.rated.not_in(select(traces.c.id))
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """Something that is not as it was written.

    Attributes:
        kind: ``database`` (SQLite's own structure), ``trace`` or ``index``.
        trace: Id of the trace, if it is one.
        text: What is wrong, and what to do.
    """

    kind: str
    trace: int | None
    text: str


def verify_database(database: Database) -> list[Problem]:
    """Let SQLite check its own structure, and look for what belongs to no trace."""
    with database.read() as connection:
        faults = [
            f"{fault}; export what can be read, and import it into a new memory"
            for fault in database.faults(connection)
        ]
        faults += [
            f"what is stored must belong to a trace, but {table} holds something under "
            f"{trace!r}, where there is none; run: latent-agent memory rebuild --compact"
            for table, query in _LEFT.items()
            for trace in connection.execute(query).scalars()
        ]
        faults += [
            f"a rating must belong to a trace and its copy, but that of {trace!r} lacks one; run: "
            f"latent-agent memory forget {trace!r}"
            for trace in connection.execute(_UNPAIRED).scalars()
        ]
    return [Problem(kind="database", trace=None, text=fault) for fault in faults]


def verify_traces(database: Database, progress: Progress | None = None) -> list[Problem]:
    """Read every trace and compare it with its checksum and its shelf."""
    problems: list[Problem] = []
    with database.read() as connection:
        total = connection.execute(select(func.count()).select_from(traces)).scalar_one()
    done, after = 0, 0
    while True:
        with database.read() as connection:
            rows = connection.execute(_NEXT, {"after": after}).mappings().all()
        if not rows:
            return problems
        problems += [problem for row in rows if (problem := _problem(row)) is not None]
        done, after = done + len(rows), rows[-1]["id"]
        if progress:
            progress(done, max(total, done))


def _problem(row: RowMapping) -> Problem | None:
    try:
        trace = to_trace(row).trace
    except DamageError as error:
        return Problem(kind="trace", trace=row["id"], text=str(error))
    stored: Any = (len(trace.embedding), trace.base.shape[1])
    if stored == (row["dimension"], row["width"]):
        return None
    return Problem(
        kind="trace",
        trace=row["id"],
        text=(
            f"embedding and latents must be ({row['dimension']}, {row['width']}) wide, as the "
            f"shelf is, but trace {row['id']!r} has {stored}; run: latent-agent memory forget "
            f"{row['id']!r}"
        ),
    )
