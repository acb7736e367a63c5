"""Feedback in an export: beside the trace that it is on, and the link of its rated copy."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import Connection, bindparam, select

from latent_memory.errors import TraceError
from latent_memory.feedback.rating import link_copy
from latent_memory.feedback.rows import feedback_on_all, insert_feedback
from latent_memory.feedback.values import Feedback, GivenFeedback, check_feedback
from latent_memory.shelf_names import FEEDBACK
from latent_memory.tables import ratings
from latent_memory.trace import Trace
from latent_memory.trace_rows import to_time

_COPIES = select(ratings.c.rated, ratings.c.trace, ratings.c.unread).where(
    ratings.c.rated.in_(bindparam("ids", expanding=True))
)
_COPIED = ("score", "source", "comment", "correction")


class FeedbackLine(BaseModel):
    """A piece of feedback, with the trace that it is on."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    given: Annotated[AwareDatetime, Field(strict=False)]
    source: Literal["user", "test", "judge"]
    score: Annotated[float, Field(ge=0, le=1)]
    comment: str | None = None
    correction: str | None = None

    @property
    def feedback(self) -> Feedback:
        """The feedback.

        Raises:
            FeedbackError: If a text is too long, or none.
        """
        return check_feedback(Feedback(**{name: getattr(self, name) for name in _COPIED}))


class CopyLine(BaseModel):
    """Whose copy a trace on the shelf of feedback is."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    of: Annotated[int, Field(ge=0, lt=2**63)]
    unread: bool


def said_of(connection: Connection, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Return what lines of traces say of feedback, by id; nothing of those that have none."""
    said: dict[int, dict[str, Any]] = {
        trace: {"feedback": tuple(map(_line, pieces))}
        for trace, pieces in feedback_on_all(connection, ids).items()
    }
    for row in connection.execute(_COPIES, {"ids": list(ids)}):
        said[row.rated] = {"copy_of": CopyLine(of=row.trace, unread=bool(row.unread))}
    return said


def _line(piece: GivenFeedback) -> FeedbackLine:
    said = {name: getattr(piece.feedback, name) for name in _COPIED}
    return FeedbackLine(given=piece.given, **said)


def bring_feedback(
    connection: Connection, trace: int, lines: Sequence[FeedbackLine], *, store_text: bool
) -> None:
    """Insert the feedback on an imported trace, in its order.

    Raises:
        FeedbackError: If a piece is none.
    """
    for line in lines:
        given = line.feedback
        if not store_text:
            given = Feedback(score=given.score, source=given.source)
        insert_feedback(connection, trace, given, to_time(line.given))


def bring_copy(
    connection: Connection, copy: int, of: int, line: CopyLine, shelves: tuple[Trace, Trace]
) -> None:
    """Link an imported copy with its trace.

    Args:
        connection: Where both are.
        copy: The copy's new id.
        of: The trace's new id.
        line: What the export says.
        shelves: The copy and the trace, which must be of one namespace and model.

    Raises:
        TraceError: If they are not, or nothing was said of the trace.
    """
    ours, theirs = (trace.shelf for trace in shelves)
    same = (ours.namespace, ours.fingerprint) == (theirs.namespace, theirs.fingerprint)
    if not same or ours.reward != FEEDBACK or theirs.reward == FEEDBACK:
        raise TraceError(
            "a rated copy must lie on the shelf of feedback, in its trace's namespace, got "
            f"{ours!r} and {theirs!r}; export again"
        )
    if not link_copy(connection, of, copy, unread=line.unread):
        raise TraceError("a rated copy must be of a trace with feedback, got none; export again")
