"""Feedback as a value, and the rule by which several pieces come to one reward."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from latent_memory.errors import FeedbackError
from latent_memory.validation import MAX_CONVERSATION

SOURCES = ("user", "test", "judge")
"""Who may give feedback; the first that did decides."""

UP_ABOVE = 0.5
"""A score above it says that an answer is right."""

_LONGEST = {"comment": 4096, "correction": MAX_CONVERSATION}  # characters


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """One piece of feedback on an answer.

    Attributes:
        score: In [0, 1]; 1 is right.
        source: ``user``, ``test`` or ``judge``.
        comment: What else was said.
        correction: The right answer.
    """

    score: float
    source: str = "user"
    comment: str | None = None
    correction: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenFeedback:
    """Feedback with the id and the time (UTC) that it got when it was stored."""

    id: int
    given: datetime
    feedback: Feedback


@dataclass(frozen=True, kw_only=True, slots=True)
class Rating:
    """What the feedback on an answer comes to.

    Attributes:
        trace: Id of the answer's trace.
        copy: Id of its copy on the shelf of feedback.
        reward: Effective reward, in [-1, 0].
        pending: Whether its correction waits for a model to read it.
    """

    trace: int
    copy: int
    reward: float
    pending: bool = False


def effective(pieces: Sequence[GivenFeedback]) -> GivenFeedback:
    """Return the piece that decides: users before tests before judges, of one source the newest.

    The newest is the one that was stored last: clocks jump.
    """
    return min(pieces, key=lambda one: (SOURCES.index(one.feedback.source), -one.id))


def standing_correction(pieces: Sequence[GivenFeedback]) -> GivenFeedback | None:
    """Return the piece whose correction holds; None: there is none.

    That of the piece that decides; if it has none, and says that the answer is wrong, what would
    decide among those that have one. An answer that was rated right since needs none.
    """
    decisive = effective(pieces)
    if decisive.feedback.correction is not None:
        return decisive
    corrected = [one for one in pieces if one.feedback.correction is not None]
    return effective(corrected) if corrected and not is_up(decisive.feedback.score) else None


def is_up(score: float) -> bool:
    """Whether a score in [0, 1] says rather right than wrong."""
    return score > UP_ABOVE


def check_feedback(feedback: Feedback) -> Feedback:
    """Return feedback if it can be stored.

    Raises:
        FeedbackError: If not.
    """
    score: Any = feedback.score
    number = isinstance(score, (int, float)) and not isinstance(score, bool)
    if not number or not 0 <= score <= 1:  # NaN is in no range
        raise FeedbackError(
            f"a score must be a number in [0, 1], got {score!r}; 1 is right, 0 is wrong"
        )
    if feedback.source not in SOURCES:
        raise FeedbackError(
            f"a source must be one of {', '.join(map(repr, SOURCES))}, got {feedback.source!r}; "
            "leave it out for a person's"
        )
    for what, most in _LONGEST.items():
        _check_text(what, getattr(feedback, what), most)
    return feedback


def _check_text(what: str, text: Any, most: int) -> None:
    if text is None:
        return
    if not isinstance(text, str) or not text.strip() or len(text) > most:
        got = f"{len(text)} characters" if isinstance(text, str) and text.strip() else repr(text)
        raise FeedbackError(
            f"a {what} must be a text of 1 to {most} characters, got {got}; shorten it, or leave "
            "it out"
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FeedbackError(
            f"a {what} must be valid Unicode, got a lone surrogate at {error.start}; remove it, "
            "for example with .encode(errors='replace').decode()"
        ) from None
