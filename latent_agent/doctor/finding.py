"""What a look at an installation found out about one thing."""

import re
from dataclasses import dataclass
from typing import Literal

# What parts them, or a quoted name, which may hold that too; an apostrophe in a word begins none.
_PARTS = re.compile(r"""; |(?<!\w)'(?:\\.|[^'\\])*'|(?<!\w)"(?:\\.|[^"\\])*\"""", re.DOTALL)

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found out about one thing.

    Attributes:
        about: What was looked at.
        state: ``ok``, ``warn`` (it works, but somebody should look) or ``fail``.
        text: What is so.
        remedy: What to do about it; empty if all is well.
    """

    about: str
    state: State
    text: str
    remedy: str = ""


def parted(error: Exception) -> tuple[str, str]:
    """Return what one of our errors says is so, and its remedy."""
    text = str(error)
    for found in _PARTS.finditer(text):
        if found[0] == "; ":
            return text[: found.start()], text[found.end() :]
    return text, ""
