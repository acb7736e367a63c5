"""Which nights stay on record: the newest of those that published a prior, and of the others.

Nights would else fill the database, in years if they succeed, sooner if each one fails.
"""

from sqlalchemy import Connection, delete, exists, select

from latent_memory.priors.nights import FAILED, UNJUDGED
from latent_memory.priors.tables import nights, priors
from latent_memory.sqlite import Database
from latent_memory.tables import shelves
from latent_memory.trace import Shelf
from latent_memory.trace_rows import ON_SHELF, names

KEPT = 100
KEPT_PUBLISHED = 1000
_AT_ONCE = 1000

_PUBLISHED = exists().where(priors.c.night == nights.c.id, priors.c.published.is_not(None))
# What has its file may be active, or be rolled back to.
_HAS_FILE = exists().where(priors.c.night == nights.c.id, priors.c.file.is_not(None))
_DECIDED = nights.c.verdict.not_in((FAILED, UNJUDGED))


def drop_old_nights(
    database: Database, shelf: Shelf, keep: int = KEPT, keep_published: int = KEPT_PUBLISHED
) -> None:
    """Delete a shelf's old nights and their priors.

    Of the nights that published nothing the newest stay, and of those that did; beyond that only
    those whose prior still has its file. How far the nights have read stays known. A prior's file
    is left for whoever prunes files.
    """
    with database.write() as connection:
        number = connection.scalar(select(shelves.c.id).where(ON_SHELF), names(shelf))
        if number is not None:
            _drop(connection, number, keep, keep_published)


def _drop(connection: Connection, shelf: int, keep: int, keep_published: int) -> None:
    here = nights.c.shelf == shelf
    newest = select(nights.c.id).where(here).order_by(nights.c.id.desc())
    others = newest.where(~_PUBLISHED).offset(keep)
    published = newest.where(_PUBLISHED).offset(keep_published).subquery()
    bare = select(nights.c.id).where(nights.c.id.in_(select(published)), ~_HAS_FILE)
    furthest = (
        select(nights.c.id).where(here).order_by(nights.c.last.desc(), nights.c.id.desc()).limit(1)
    )
    spared = {connection.scalar(furthest), connection.scalar(furthest.where(_DECIDED))}
    old = {id_ for some in (others, bare) for id_ in connection.scalars(some.limit(_AT_ONCE))}
    old -= spared
    if not old:
        return
    connection.execute(delete(priors).where(priors.c.night.in_(old)))  # none of them is active
    connection.execute(delete(nights).where(nights.c.id.in_(old)))
