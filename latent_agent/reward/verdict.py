"""Read a verdict from a judge's reply, and from nothing but the reply."""

import re

_STATED = re.compile(r"(?:verdict|answer)(?:\s+is)?\s*:\W{0,3}(true|false)\b", re.IGNORECASE)
_CLOSING = re.compile(r"(?:^|[^\w'-])(true|false)\W*$", re.IGNORECASE)
_NEGATED = re.compile(r"(?:\b(?:not|never|cannot|hardly)|n't)\W+(?:be\W+)?$", re.IGNORECASE)
_UNDECIDED = re.compile(
    r"\b(?:true|false)\b\W*(?:or\b|/|\|)\W*(?:verdict\W*)?(?:true|false)\b", re.IGNORECASE
)
_GRADE = re.compile(r"score\s*(?:is)?\s*:?\s*\W{0,3}?(-?\d+(?:\.\d+)?)", re.IGNORECASE)


def read_verdict(reply: str) -> bool | None:
    """Return the last verdict that a reply states, or None if it holds none.

    A verdict is ``VERDICT: True`` (or ``... ANSWER IS: True``), or True or False as the reply's
    last word. "untrue", "not true" and "True or False" are none.
    """
    if _UNDECIDED.search(reply):
        return None
    stated = _STATED.findall(reply)
    if stated:
        return stated[-1].lower() == "true"
    closing = _CLOSING.search(reply)
    if closing is None or _NEGATED.search(reply[: closing.start(1)]):
        return None
    return closing[1].lower() == "true"


def read_grade(reply: str, scale: float = 1.0) -> float | None:
    """Return the last ``Score: x`` of a reply, divided by ``scale``; None if not in [0, 1]."""
    grades = _GRADE.findall(reply)
    if not grades:
        return None
    grade = float(grades[-1]) / scale
    return grade if 0 <= grade <= 1 else None
