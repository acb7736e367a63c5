"""The record of the nights: inputs, outcome and reason of each, and which stay on record."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Select, delete, exists, func, insert, select, update

from latent_memory.database import Database
from latent_memory.errors import TraceError
from latent_memory.tables import nights, priors, shelves, traces
from latent_memory.trace import Shelf
from latent_memory.trace_rows import ON_SHELF, from_time, names, to_shelf, to_time

RUNNING, KILLED, STOPPED, PUBLISHED = "running", "killed", "stopped", "published"
FAILED, UNJUDGED = "failed", "unjudged"  # such nights read traces, and decided nothing about them

KEPT = 100
KEPT_PUBLISHED = 1000
_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """The outcome of a night.

    Attributes:
        verdict: In one word, for example ``published`` or ``refused``.
        reason: In one sentence.
        seconds: How long it took.
        last: The newest trace that it read; 0 if it was interrupted: they are still new.
        losses: Of each epoch, on held-out traces.
        gate: Figures of the gate.
    """

    verdict: str
    reason: str
    seconds: float
    last: int = 0
    losses: Sequence[float] = ()
    gate: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True, slots=True)
class NightInfo:
    """A night as the database knows it; ``result`` is None while it runs."""

    id: int
    shelf: Shelf
    started: datetime
    seed: int
    inputs: Mapping[str, Any]
    result: Result | None


_NEW = select(func.count()).select_from(traces).join(shelves, shelves.c.id == traces.c.shelf)
_READ = (
    select(func.coalesce(func.max(nights.c.last), 0))
    .where(nights.c.shelf == shelves.c.id)
    .correlate(shelves)
)
_HAS_DECIDED = nights.c.verdict.not_in((FAILED, UNJUDGED))
_DECIDED = _READ.where(_HAS_DECIDED)
_JUDGED = select(func.count()).select_from(nights).join(shelves, shelves.c.id == nights.c.shelf)
_COUNT_JUDGED = _JUDGED.where(
    ON_SHELF,
    nights.c.gate != "{}",
    nights.c.id
    > select(func.coalesce(func.max(nights.c.id), 0))
    .where(nights.c.shelf == shelves.c.id, nights.c.verdict == PUBLISHED)
    .correlate(shelves)
    .scalar_subquery(),
)
_COUNT_NEW = _NEW.where(ON_SHELF, traces.c.id > _DECIDED.scalar_subquery())
_COUNT_UNREAD = _NEW.where(ON_SHELF, traces.c.id > _READ.scalar_subquery())
_WHOLE = (
    select(nights, shelves.c.namespace, shelves.c.fingerprint, shelves.c.reward)
    .join(shelves, shelves.c.id == nights.c.shelf)
    .order_by(nights.c.id.desc())
)
_SHELF_ID = select(shelves.c.id).where(ON_SHELF)
_KILL = (
    update(nights)
    .where(nights.c.seconds.is_(None))
    .values(verdict=KILLED, reason="it never ended", seconds=0.0)
)
_HAS_PUBLISHED = exists().where(priors.c.night == nights.c.id, priors.c.published.is_not(None))
# A prior with a file may be active, or be rolled back to.
_HAS_FILE = exists().where(priors.c.night == nights.c.id, priors.c.file.is_not(None))
_PLAIN = ("verdict", "reason", "seconds", "last")


def count_new(database: Database, shelf: Shelf) -> int:
    """Count the traces on a shelf that no night has decided about yet."""
    return _count(database, _COUNT_NEW, shelf)


def count_unread(database: Database, shelf: Shelf) -> int:
    """Count the traces on a shelf since the last night that was not interrupted."""
    return _count(database, _COUNT_UNREAD, shelf)


def count_judged(database: Database, shelf: Shelf) -> int:
    """Count the nights of a shelf that a gate judged since the last one that published a prior."""
    return _count(database, _COUNT_JUDGED, shelf)


def _count(database: Database, wanted: Select[int], shelf: Shelf) -> int:
    with database.read() as connection:
        return connection.scalar(wanted, names(shelf)) or 0


def begin_night(
    database: Database, shelf: Shelf, *, seed: int | None, inputs: Mapping[str, Any]
) -> int:
    """Note that a night begins; return its number, which is its seed too where that is None.

    The caller holds the lock, so a night that still seems to run was killed.

    Raises:
        TraceError: If nothing lies on the shelf.
    """
    with database.write() as connection:
        number = connection.scalar(_SHELF_ID, names(shelf))
        if number is None:
            raise TraceError(
                f"a night must have traces to learn from, but namespace {shelf.namespace!r} holds "
                "none of this model and reward; ask more questions first"
            )
        connection.execute(_KILL)
        row = {
            "shelf": number,
            "started": to_time(datetime.now(UTC)),
            "seed": seed or 0,
            "last": 0,
            "inputs": json.dumps(inputs),
            "losses": "[]",
            "gate": "{}",
            "verdict": RUNNING,
            "reason": "",
        }
        night = connection.execute(insert(nights).returning(nights.c.id), row).scalar_one()
        if seed is None:
            connection.execute(update(nights).where(nights.c.id == night).values(seed=night))
        return night


def resume_night(database: Database, night: int) -> bool:
    """Note that a night goes on that was stopped or killed; return whether there is one.

    The caller holds the lock.
    """
    going_on = {"verdict": RUNNING, "reason": "", "seconds": None}
    with database.write() as connection:
        connection.execute(_KILL)
        ended = nights.c.verdict.in_((STOPPED, KILLED))
        changed = connection.execute(
            update(nights).where(nights.c.id == night, ended).values(going_on)
        )
        return changed.rowcount == 1


def end_night(database: Database, night: int, result: Result) -> None:
    """Note the outcome of a night."""
    with database.write() as connection:
        connection.execute(
            update(nights)
            .where(nights.c.id == night)
            .values(
                losses=json.dumps(list(result.losses)),
                gate=json.dumps(result.gate),
                **{name: getattr(result, name) for name in _PLAIN},
            )
        )


def cancel_night(database: Database, night: int) -> None:
    """Delete the record of a night that found nothing to do."""
    with database.write() as connection:
        connection.execute(delete(nights).where(nights.c.id == night))


def find_night(database: Database, night: int) -> NightInfo | None:
    """Return a night by its number; None if there is none."""
    with database.read() as connection:
        rows = _read(connection, _WHOLE.where(nights.c.id == night))
    return rows[0] if rows else None


def list_nights(database: Database, *, shelf: Shelf | None = None) -> list[NightInfo]:
    """List nights, newest first."""
    wanted = _WHOLE
    if shelf is not None:
        wanted = wanted.where(ON_SHELF).params(names(shelf))
    with database.read() as connection:
        return _read(connection, wanted)


def _read(connection: Connection, wanted: Select[Any]) -> list[NightInfo]:
    return [
        NightInfo(
            id=row["id"],
            shelf=to_shelf(row),
            started=from_time(row["started"]),
            seed=row["seed"],
            inputs=json.loads(row["inputs"]),
            result=None if row["seconds"] is None else _result(row),
        )
        for row in connection.execute(wanted).mappings()
    ]


def _result(row: Mapping[Any, Any]) -> Result:
    return Result(
        losses=json.loads(row["losses"]),
        gate=json.loads(row["gate"]),
        **{name: row[name] for name in _PLAIN},
    )


def drop_old_nights(
    database: Database, shelf: Shelf, keep: int = KEPT, keep_published: int = KEPT_PUBLISHED
) -> None:
    """Delete a shelf's old nights and their priors, which would else fill the database.

    The newest nights stay: ``keep`` that published nothing, ``keep_published`` that did, and those
    whose prior still has its file. How far the nights have read stays known. Files are not deleted.
    """
    with database.write() as connection:
        number = connection.scalar(_SHELF_ID, names(shelf))
        if number is None:
            return
        here = nights.c.shelf == number
        newest = select(nights.c.id).where(here).order_by(nights.c.id.desc())
        others = newest.where(~_HAS_PUBLISHED).offset(keep)
        published = newest.where(_HAS_PUBLISHED).offset(keep_published).subquery()
        bare = select(nights.c.id).where(nights.c.id.in_(select(published)), ~_HAS_FILE)
        furthest = select(nights.c.id).where(here)
        furthest = furthest.order_by(nights.c.last.desc(), nights.c.id.desc()).limit(1)
        old = {id_ for some in (others, bare) for id_ in connection.scalars(some.limit(_AT_ONCE))}
        old -= {connection.scalar(furthest), connection.scalar(furthest.where(_HAS_DECIDED))}
        if old:  # no prior of theirs is active
            connection.execute(delete(priors).where(priors.c.night.in_(old)))
            connection.execute(delete(nights).where(nights.c.id.in_(old)))
