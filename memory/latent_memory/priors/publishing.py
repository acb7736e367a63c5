"""Priors are recorded, published and withdrawn: one small transaction each."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, exists, func, insert, select, update

from latent_memory.database import Database
from latent_memory.priors.priors import (
    FORGOTTEN,
    STALE,
    PriorInfo,
    Source,
    UnknownPriorError,
    read_active,
    read_prior,
)
from latent_memory.tables import priors, shelves, sources
from latent_memory.trace import Shelf
from latent_memory.trace_rows import ON_SHELF, names, to_time


def reserve(
    database: Database, learnt_from: Sequence[Source], *, night: int, positions: int
) -> int:
    """Give a new prior its version; it has no file yet.

    Args:
        database: Where it is noted.
        learnt_from: Stretches of traces; the first one's shelf is the prior's.
        night: The night that trained it.
        positions: How many latents it corrects (N).

    Raises:
        UnknownPriorError: If the shelf was forgotten meanwhile.
    """
    with database.write() as connection:
        if not connection.scalar(select(exists().where(shelves.c.id == learnt_from[0].shelf))):
            raise UnknownPriorError(
                "a prior must belong to a namespace that holds traces, but the last of them was "
                "forgotten while the night trained; nothing is kept of it, and the next night "
                "waits for new questions"
            )
        version = connection.execute(
            insert(priors).returning(priors.c.id),
            {
                "shelf": learnt_from[0].shelf,
                "night": night,
                "created": to_time(datetime.now(UTC)),
                "positions": positions,
            },
        ).scalar_one()
        rows = [{"prior": version, **asdict(source)} for source in learnt_from]
        connection.execute(insert(sources), rows)
        return version


def note_file(database: Database, version: int, file: str, checksum: str) -> None:
    """Note that a prior's file is whole."""
    _set(database, [version], file=file, checksum=checksum)


def drop_files(database: Database, versions: Iterable[int]) -> None:
    """Note that priors have no file any more."""
    _set(database, versions, file=None, checksum=None)


def _set(database: Database, versions: Iterable[int], **values: Any) -> None:
    chosen = priors.c.id.in_(list(versions))
    with database.write() as connection:
        connection.execute(update(priors).where(chosen).values(**values))


def publish(database: Database, version: int) -> PriorInfo:
    """Make a prior active, in the place of any other on its shelf.

    Raises:
        UnknownPriorError: If there is none, it has no file, or a trace behind it was forgotten.
    """
    with database.write() as connection:
        prior = read_prior(connection, version)
        if prior.file is None or prior.forgotten:
            why = "its file is gone" if prior.file is None else "a trace behind it was forgotten"
            raise UnknownPriorError(
                f"a prior must have a file and all its traces to be published, got version "
                f"{version}, but {why}; train again with: latent-agent consolidate"
            )
        latest = connection.scalar(select(func.max(priors.c.published))) or 0
        connection.execute(
            update(priors)
            .where(priors.c.id == version)
            .values(published=latest + 1, published_at=to_time(datetime.now(UTC)), withdrawn=None)
        )
        return read_prior(connection, version)


def roll_back(database: Database, shelf: Shelf) -> tuple[PriorInfo, PriorInfo | None]:
    """Withdraw the active prior; return it, and the one that is active now.

    Raises:
        UnknownPriorError: If none is active.
    """
    with database.write() as connection:
        prior = read_active(connection, shelf)
        if prior is None:
            raise UnknownPriorError(
                f"a prior must be active to be rolled back, but namespace {shelf.namespace!r} "
                "has none; see: latent-agent prior list"
            )
        _withdraw(connection, priors.c.id == prior.version, "rolled back")
        return prior, read_active(connection, shelf)


def withdraw_forgotten(connection: Connection) -> None:
    """Withdraw every prior that may have learnt from a trace that was forgotten."""
    _withdraw(connection, FORGOTTEN, "a trace behind it was forgotten")


def withdraw_expired(connection: Connection, shelf: Shelf) -> None:
    """Withdraw a shelf's priors that may have learnt from a trace that has expired."""
    number = select(shelves.c.id).where(ON_SHELF).params(names(shelf)).scalar_subquery()
    _withdraw(connection, STALE & (priors.c.shelf == number), "a trace behind it has expired")


def _withdraw(connection: Connection, which: ColumnElement[bool], reason: str) -> None:
    connection.execute(
        update(priors).where(which, priors.c.withdrawn.is_(None)).values(withdrawn=reason)
    )
