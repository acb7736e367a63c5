"""Feedback to rows and back, on a given connection."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, insert, select

from latent_memory.feedback.values import Feedback, GivenFeedback, Rating
from latent_memory.retention.selection import in_chunks
from latent_memory.tables import feedback, ratings, shelves, traces
from latent_memory.trace_rows import from_time

_IDS = bindparam("ids", expanding=True)
_OF = select(feedback).where(feedback.c.trace.in_(_IDS)).order_by(feedback.c.id)
_RATINGS = select(ratings).where(ratings.c.trace.in_(_IDS))
_ORIGINAL = select(ratings.c.trace).where(ratings.c.rated == bindparam("id"))
_UNREAD = (
    select(ratings.c.trace, ratings.c.rated, ratings.c.correction, feedback.c.correction)
    .join(feedback, feedback.c.id == ratings.c.correction)
    .join(traces, traces.c.id == ratings.c.rated)
    .join(shelves, shelves.c.id == traces.c.shelf)
    .where(ratings.c.unread == 1, shelves.c.namespace == bindparam("namespace"))
    .order_by(ratings.c.trace)
    .limit(bindparam("most"))
)


@dataclass(frozen=True)
class UnreadCorrection:
    """A correction that no model has read.

    Attributes:
        trace: The answer that it corrects.
        rated: That trace's copy on the shelf of feedback.
        feedback: The piece of feedback that it belongs to.
        text: The correction.
    """

    trace: int
    rated: int
    feedback: int
    text: str


def insert_feedback(connection: Connection, trace: int, given: Feedback, now: int) -> int:
    """Insert checked feedback on a trace; return its id."""
    row = {
        "trace": trace,
        "given": now,
        **{name: getattr(given, name) for name in ("source", "score", "comment", "correction")},
    }
    return connection.execute(insert(feedback).returning(feedback.c.id), row).scalar_one()


def feedback_on(connection: Connection, trace: int) -> list[GivenFeedback]:
    """Read the feedback on a trace, in the order in which it was stored."""
    return feedback_on_all(connection, [trace]).get(trace, [])


def feedback_on_all(connection: Connection, ids: Iterable[int]) -> dict[int, list[GivenFeedback]]:
    """Read the feedback on traces, each one's in the order in which it was stored."""
    found: dict[int, list[GivenFeedback]] = {}
    for row in connection.execute(_OF, {"ids": list(ids)}):
        said = {name: getattr(row, name) for name in ("score", "source", "comment", "correction")}
        piece = GivenFeedback(id=row.id, given=from_time(row.given), feedback=Feedback(**said))
        found.setdefault(row.trace, []).append(piece)
    return found


def original_of(connection: Connection, id: int) -> int:
    """Return which trace a copy was made of; one that is no copy is its own original."""
    return connection.execute(_ORIGINAL, {"id": id}).scalar() or id


def ratings_of(connection: Connection, ids: Iterable[int]) -> dict[int, Rating]:
    """Read the ratings of traces; those that nobody rated are left out."""
    return {
        row.trace: Rating(
            trace=row.trace, copy=row.rated, reward=row.reward, pending=bool(row.unread)
        )
        for some in in_chunks(list(ids))
        for row in connection.execute(_RATINGS, {"ids": some})
    }


def unread_corrections(
    connection: Connection, namespace: str, most: int
) -> Sequence[UnreadCorrection]:
    """Read a namespace's corrections that no model has read, ``most`` at most."""
    rows = connection.execute(_UNREAD, {"namespace": namespace, "most": most})
    return [UnreadCorrection(*row) for row in rows]
