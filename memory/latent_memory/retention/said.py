"""What goes with a trace when it is erased: its rated copy, and what is known and said of it."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, or_, select, update

from latent_memory.tables import answers, feedback, ratings

_IDS = bindparam("ids", expanding=True)
_PAIRS = select(ratings.c.trace, ratings.c.rated).where(
    or_(ratings.c.trace.in_(_IDS), ratings.c.rated.in_(_IDS))
)
_EMPTY = (
    update(feedback)
    .where(feedback.c.trace.in_(_IDS))
    .values(trace=0, comment=None, correction=None)
)
_DROP = tuple(delete(table).where(table.c.trace.in_(_IDS)) for table in (ratings, answers))


def with_partners(connection: Connection, ids: Sequence[int]) -> Sequence[int]:
    """Return traces together with their copies on the shelf of feedback, and the other way."""
    pairs = connection.execute(_PAIRS, {"ids": ids}).all()
    return sorted({*ids, *(id_ for pair in pairs for id_ in pair)}) if pairs else ids


def drop_feedback(connection: Connection, ids: Sequence[int]) -> None:
    """Erase what was said of traces."""
    connection.execute(_EMPTY, {"ids": ids})
    for drop in _DROP:
        connection.execute(drop, {"ids": ids})
