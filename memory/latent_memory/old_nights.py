"""Which nights stay on record: those that put a prior in force, and the newest of the others.

A night that fails each time would else fill the database.
"""

from sqlalchemy import Connection, delete, exists, select

from latent_memory.nights import FAILED, UNJUDGED
from latent_memory.prior_tables import nights, priors
from latent_memory.rows import ON_SHELF, names
from latent_memory.sqlite import Database
from latent_memory.tables import shelves
from latent_memory.trace import Shelf

KEPT = 100
_AT_ONCE = 1000

_PUBLISHED = exists().where(priors.c.night == nights.c.id, priors.c.published.is_not(None))
_DECIDED = nights.c.verdict.not_in((FAILED, UNJUDGED))


def drop_old_nights(database: Database, shelf: Shelf, keep: int = KEPT) -> None:
    """Delete a shelf's nights that published nothing, and their priors, but for the newest.

    How far the nights have read stays known. A prior's file is left for whoever prunes files.
    """
    with database.write() as connection:
        number = connection.scalar(select(shelves.c.id).where(ON_SHELF), names(shelf))
        if number is not None:
            _drop(connection, number, keep)


def _drop(connection: Connection, shelf: int, keep: int) -> None:
    here = nights.c.shelf == shelf
    others = select(nights.c.id).where(here, ~_PUBLISHED).order_by(nights.c.id.desc())
    furthest = select(nights.c.id).where(here).order_by(nights.c.last.desc()).limit(1)
    spared = {connection.scalar(furthest), connection.scalar(furthest.where(_DECIDED))}
    old = set(connection.scalars(others.offset(keep).limit(_AT_ONCE))) - spared
    if not old:
        return
    connection.execute(delete(priors).where(priors.c.night.in_(old)))  # none of them published
    connection.execute(delete(nights).where(nights.c.id.in_(old)))
