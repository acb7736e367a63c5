"""Rating an answer: the feedback is stored, and its trace put on the shelf of feedback."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from latent_memory.database import Database
from latent_memory.errors import FeedbackError
from latent_memory.feedback.rows import (
    UnreadCorrection,
    feedback_on,
    insert_feedback,
    original_of,
    ratings_of,
)
from latent_memory.feedback.values import (
    Feedback,
    GivenFeedback,
    Rating,
    check_feedback,
    effective,
    standing_correction,
)
from latent_memory.retention.awaited import answer_of_run, is_overdue, note_reported
from latent_memory.retention.erase import delete_copy
from latent_memory.shelf_names import FEEDBACK
from latent_memory.tables import ratings
from latent_memory.trace import Matrix, StoredTrace, Trace
from latent_memory.trace_rows import insert_trace, read_traces, to_time
from latent_memory.validation import check_trace

_RATING = select(ratings).where(ratings.c.trace == bindparam("of"))
_UPDATE = update(ratings).where(ratings.c.trace == bindparam("of"))
_READ = (
    _UPDATE.where(
        ratings.c.rated == bindparam("copy"),
        ratings.c.correction == bindparam("piece"),
        ratings.c.unread == 1,
    )
    .values(unread=0)
    .returning(ratings.c.trace)
)


def rate(database: Database, id: int | str, namespace: str, given: Feedback) -> Rating:
    """Store feedback on a trace of a namespace; return what all feedback on it comes to.

    Raises:
        FeedbackError: If the feedback is none, or the namespace has no such trace.
        ReadOnlyError: If the memory is open for reading only.
        StorageError: If the disk or the database refuses; nothing was stored.
    """
    given, now = check_feedback(given), datetime.now(UTC)
    with database.write() as connection:
        stored = _answer_of(connection, id, namespace, now)
        if (given.correction or "").strip() == (stored.trace.answer or "").strip() != "":
            raise FeedbackError(
                "a correction must differ from the answer, got the answer itself; rate it up "
                "instead, with score=1"
            )
        insert_feedback(connection, stored.id, given, to_time(now))
        note_reported(connection, stored.id)
        return _settle(connection, stored)


def _answer_of(connection: Connection, id: int | str, namespace: str, now: datetime) -> StoredTrace:
    asked: Any = id
    if isinstance(asked, str):
        original = answer_of_run(connection, asked, namespace)
    else:
        whole = isinstance(asked, int) and not isinstance(asked, bool) and 0 < asked < 2**63
        original = original_of(connection, asked) if whole else None
    stored = None if original is None else read_traces(connection, [original]).get(original)
    if (
        stored is None
        or stored.trace.shelf.namespace != namespace
        or is_overdue(connection, stored.id, now)
    ):
        raise FeedbackError(
            f"feedback must be on an answer that namespace {namespace!r} holds, got {id!r}; it "
            "may have been forgotten or evicted; see: latent-agent memory list"
        )
    return stored


def _settle(connection: Connection, original: StoredTrace) -> Rating:
    """Bring a trace's rating, and its copy, up to date with the feedback on it."""
    row = _row(feedback_on(connection, original.id), original.trace)
    reward, number = row["reward"], row["correction"]
    old = connection.execute(_RATING, {"of": original.id}).one_or_none()
    if old is not None and _is_kept(old, row):
        # The copy is what it was: the same draft, or the same correction, which is right anyway.
        connection.execute(_UPDATE.values(reward=reward), {"of": original.id})
        return _rating(connection, original.id)
    shelf = replace(original.trace.shelf, reward=FEEDBACK)
    copied = replace(original.trace, shelf=shelf, score=reward, rewards=(), neighbours=())
    put_copy(connection, replace(original, trace=copied), {**row, "unread": int(number > 0)})
    return _rating(connection, original.id)


def _row(pieces: Sequence[GivenFeedback], trace: Trace) -> dict[str, Any]:
    """Return what feedback on a trace comes to, as its rating holds it."""
    correction = standing_correction(pieces)
    readable = trace.query is not None and trace.conversation != ""
    number = correction.id if correction is not None and readable else 0
    return {"reward": effective(pieces).feedback.score - 1.0, "correction": number}


def link_copy(connection: Connection, of: int, copy: int, *, unread: bool) -> bool:
    """Note that an imported trace is the copy of another; return whether that has feedback."""
    pieces, stored = feedback_on(connection, of), read_traces(connection, [of])[of]
    rated = connection.execute(_RATING, {"of": of}).first() is not None
    if rated or not pieces:
        return False
    row = _row(pieces, stored.trace)
    waits = int(unread and row["correction"] > 0)
    connection.execute(ratings.insert(), {"trace": of, "rated": copy, "unread": waits, **row})
    return True


def _is_kept(old: Row[Any], row: dict[str, Any]) -> bool:
    if old.correction != row["correction"]:
        return False
    return old.reward == row["reward"] or (old.correction > 0 and not old.unread)


def _rating(connection: Connection, trace: int) -> Rating:
    return ratings_of(connection, [trace])[trace]


def put_copy(connection: Connection, copy: StoredTrace, row: dict[str, Any]) -> None:
    """Put a trace's copy on the shelf of feedback, in the place of the one there.

    Args:
        connection: Where.
        copy: The copy, with the id and the time of what it is a copy of: it grows old with it.
        row: What else is known of the rating.
    """
    old = connection.execute(_RATING, {"of": copy.id}).one_or_none()
    row = {**row, "rated": insert_trace(connection, copy.trace, copy.created)}
    if old is None:
        connection.execute(ratings.insert(), {"trace": copy.id, **row})
        return
    connection.execute(_UPDATE.values(**row), {"of": copy.id})
    delete_copy(connection, old.rated)


def read_copies(database: Database, corrections: Sequence[UnreadCorrection]) -> list[StoredTrace]:
    """Return the copies that corrections are to be read into; those that are gone are left out."""
    with database.read() as connection:
        copies = read_traces(connection, [one.rated for one in corrections])
    return [copies[one.rated] for one in corrections if one.rated in copies]


def correct(
    database: Database,
    correction: UnreadCorrection,
    copy: StoredTrace,
    base: Matrix,
    optimised: Matrix,
    tokens: Sequence[int],
) -> bool:
    """Make a correction's latents the winning ones of a trace's copy.

    Returns False if the trace was erased, or other feedback decides, meanwhile.

    Args:
        database: Where it lies.
        correction: The correction.
        copy: The copy as it was when the correction was read.
        base: The draft's first latents, (n, d).
        optimised: Latents that decode to ``tokens``, (n, d).
        tokens: The correction's first tokens.
    """
    trace = check_trace(
        replace(
            copy.trace,
            base=base,
            optimised=optimised,
            tokens=tuple(tokens),
            answer=correction.text,
            score=0.0,
            steps=0,
        )
    )
    with database.write() as connection:
        if not _read(connection, correction):
            return False
        put_copy(connection, replace(copy, id=correction.trace, trace=trace), {})
    return True


def give_up(database: Database, correction: UnreadCorrection) -> None:
    """Note that no model can read a correction: its text is all that is kept of it."""
    with database.write() as connection:
        _read(connection, correction)


def _read(connection: Connection, correction: UnreadCorrection) -> bool:
    """Note that a correction was read; return whether it still waited for that."""
    waits = {"of": correction.trace, "copy": correction.rated, "piece": correction.feedback}
    return connection.execute(_READ, waits).first() is not None
