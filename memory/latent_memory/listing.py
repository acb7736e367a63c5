"""Light views of what a memory holds: traces without their latents, shelves, sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, exists, func, select

import latent_migrations
from latent_memory.database import Database
from latent_memory.tables import ratings, shelves, texts, traces
from latent_memory.trace import Shelf
from latent_memory.trace_rows import ON_SHELF, from_time, names, to_shelf

_PLAIN = ("id", "query", "answer", "score", "steps", "stopped", "rating")
_copies = ratings.alias("copies")


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceInfo:
    """A trace as a list shows it.

    Attributes:
        id: Its id.
        created: When it was stored (UTC).
        shelf: Where it lies.
        query: The question; None if texts are not stored.
        answer: The answer; None if texts are not stored.
        score: Reward of the answer, in [-1, 0].
        steps: Gradient steps whose answers were scored.
        stopped: Why the search ended.
        rating: What feedback on the answer comes to, in [-1, 0]; None: there is none.
    """

    id: int
    created: datetime
    shelf: Shelf
    query: str | None
    answer: str | None
    score: float
    steps: int
    stopped: str
    rating: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ShelfInfo:
    """A shelf and how much lies on it.

    Attributes:
        shelf: Its names.
        traces: How many traces lie on it.
        dimension: Length of their embeddings (e).
        width: Width of their latents (d).
        newest: When the newest was stored (UTC).
    """

    shelf: Shelf
    traces: int
    dimension: int
    width: int
    newest: datetime


@dataclass(frozen=True, kw_only=True, slots=True)
class Stats:
    """The size of a memory.

    Attributes:
        path: The database file, or its URL without a password.
        revision: Its schema's revision.
        traces: Traces that it holds.
        shelves: The shelves that they lie on.
        database_bytes: Size of the database file.
        log_bytes: Size of its write-ahead log.
        index_bytes: Size of its index snapshots.
        backups: Copies that migrations made.
    """

    path: Path | str
    revision: str
    traces: int
    shelves: Sequence[ShelfInfo]
    database_bytes: int
    log_bytes: int
    index_bytes: int
    backups: Sequence[Path]


def list_traces(
    connection: Connection,
    *,
    namespace: str | None = None,
    shelf: Shelf | None = None,
    limit: int,
    before: int | None = None,
    hardest: bool = False,
) -> list[TraceInfo]:
    """List traces, newest first; ``before`` an id, to go on where a list ended.

    Copies of rated traces are left out, unless it is their shelf that is asked for.
    With ``hardest`` those come first that took the most gradient steps.
    """
    hardness = (traces.c.steps.desc(),) if hardest else ()
    shelf_names = (shelves.c.namespace, shelves.c.fingerprint, shelves.c.reward)
    wanted = (
        select(traces, *shelf_names, *(texts.c.query, texts.c.answer))
        .add_columns(ratings.c.reward.label("rating"))
        .join(shelves, shelves.c.id == traces.c.shelf)
        .outerjoin(texts, texts.c.trace == traces.c.id)
        .outerjoin(ratings, ratings.c.trace == traces.c.id)
        .order_by(*hardness, traces.c.id.desc())
        .limit(limit)
    )
    if namespace is not None:
        wanted = wanted.where(shelves.c.namespace == namespace)
    if shelf is None:
        wanted = wanted.where(~exists().where(_copies.c.rated == traces.c.id))
    else:
        wanted = wanted.where(ON_SHELF).params(names(shelf))
    if before is not None:
        wanted = wanted.where(traces.c.id < before)
    return [
        TraceInfo(
            created=from_time(row["created"]),
            shelf=to_shelf(row),
            **{name: row[name] for name in _PLAIN},
        )
        for row in connection.execute(wanted).mappings()
    ]


def newest_settings(connection: Connection, shelf: Shelf, count: int) -> list[str | None]:
    """Return how a shelf's newest traces searched, newest first; None where it is not known."""
    wanted = (
        select(texts.c.settings)
        .join(traces, traces.c.id == texts.c.trace)
        .join(shelves, shelves.c.id == traces.c.shelf)
        .where(ON_SHELF)
        .order_by(traces.c.id.desc())
        .limit(count)
    )
    return list(connection.execute(wanted, names(shelf)).scalars())


def list_shelves(connection: Connection) -> list[ShelfInfo]:
    """List the shelves by name, each with at least one trace on it."""
    wanted = (
        select(shelves, func.count().label("traces"), func.max(traces.c.created).label("newest"))
        .join(traces, traces.c.shelf == shelves.c.id)
        .group_by(shelves.c.id)
        .order_by(shelves.c.namespace, shelves.c.fingerprint, shelves.c.reward)
    )
    return [
        ShelfInfo(
            shelf=to_shelf(row),
            newest=from_time(row["newest"]),
            **{name: row[name] for name in ("traces", "dimension", "width")},
        )
        for row in connection.execute(wanted).mappings()
    ]


def read_stats(database: Database) -> Stats:
    """Read the sizes of a database and of what lies beside it."""
    with database.read() as connection:
        shelves = list_shelves(connection)
        revision = latent_migrations.current(connection)
    sizes = database.sizes()
    return Stats(
        path=database.place,
        revision=revision or "",
        traces=sum(info.traces for info in shelves),
        shelves=shelves,
        database_bytes=sizes.database,
        log_bytes=sizes.log,
        index_bytes=sizes.index,
        backups=sizes.backups,
    )
