"""Returning the space of erased traces to the disk: emptied rows, old deletions, free pages."""

import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, delete, exists, func, select, update

from latent_memory.database import Database
from latent_memory.erasure_log import count_emptied, none_emptied
from latent_memory.priors.priors import ERASED_SINCE
from latent_memory.tables import (
    deletions,
    embeddings,
    feedback,
    latents,
    priors,
    shelves,
    sources,
    texts,
    traces,
)
from latent_memory.trace_rows import to_time

_COUNT = select(func.count()).select_from(traces)
_FEW = 1000  # emptied rows that are not worth rewriting the file for
_WEEK = timedelta(days=7)  # longer than any night, which must notice what is forgotten meanwhile


def compact(database: Database, *, thorough: bool) -> None:
    """Rewrite the database without what was erased: see ``LatentMemory.compact``."""
    with database.write() as connection:
        for content in (texts, latents, embeddings):
            connection.execute(delete(content).where(content.c.trace.not_in(select(traces.c.id))))
        connection.execute(delete(feedback).where(feedback.c.trace == 0))
        _shorten(connection)
        none_emptied(connection)
    database.vacuum(thorough=thorough)


def is_due(connection: Connection, times: float) -> bool:
    """Whether the file holds ``times`` as many emptied rows as traces."""
    emptied = count_emptied(connection)
    if emptied <= _FEW:
        return False
    return emptied > times * connection.execute(_COUNT).scalar_one()


def _shorten(connection: Connection) -> None:
    """Delete what is no longer needed of the record of deletions.

    That gives a shelf another identity: indexes that do not know those deletions yet are rebuilt.
    """
    makes_stale = exists().where(
        priors.c.id == sources.c.prior,
        priors.c.file.is_not(None),  # without one it is never active again
        ERASED_SINCE,
    )
    old = deletions.c.deleted < to_time(datetime.now(UTC) - _WEEK)
    gone = delete(deletions).where((deletions.c.evicted == 1) | (old & ~makes_stale))
    touched = set(connection.execute(gone.returning(deletions.c.shelf)).scalars())
    for shelf in touched:
        renamed = update(shelves).where(shelves.c.id == shelf)
        connection.execute(renamed.values(identity=secrets.token_hex(16)))
