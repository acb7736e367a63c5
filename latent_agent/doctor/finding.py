"""What a look at an installation found out about one thing."""

from dataclasses import dataclass
from typing import Literal

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
