"""Light views of what a memory holds: traces without their latents, and shelves."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from latent_memory.tables import shelves, texts, traces
from latent_memory.trace import Shelf
from latent_memory.trace_rows import ON_SHELF, from_time, names, to_shelf


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
    """

    id: int
    created: datetime
    shelf: Shelf
    query: str | None
    answer: str | None
    score: float
    steps: int
    stopped: str


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

    With ``hardest`` those come first that took the most gradient steps.
    """
    hardness = (traces.c.steps.desc(),) if hardest else ()
    said = (texts.c.query, texts.c.answer)
    wanted = (
        select(traces, shelves.c.namespace, shelves.c.fingerprint, shelves.c.reward, *said)
        .join(shelves, shelves.c.id == traces.c.shelf)
        .outerjoin(texts, texts.c.trace == traces.c.id)
        .order_by(*hardness, traces.c.id.desc())
        .limit(limit)
    )
    if namespace is not None:
        wanted = wanted.where(shelves.c.namespace == namespace)
    if shelf is not None:
        wanted = wanted.where(ON_SHELF).params(names(shelf))
    if before is not None:
        wanted = wanted.where(traces.c.id < before)
    return [
        TraceInfo(
            id=row["id"],
            created=from_time(row["created"]),
            shelf=to_shelf(row),
            query=row["query"],
            answer=row["answer"],
            score=row["score"],
            steps=row["steps"],
            stopped=row["stopped"],
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
            traces=row["traces"],
            dimension=row["dimension"],
            width=row["width"],
            newest=from_time(row["newest"]),
        )
        for row in connection.execute(wanted).mappings()
    ]
