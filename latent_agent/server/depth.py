"""How deep JSON is nested: what walks through it level by level has only so many levels."""

from typing import Any

MOST = 64
"""Levels of lists and objects within each other that a request may have."""


def too_deep(value: Any) -> bool:
    """Whether JSON has more levels than `MOST`."""
    level = [value]
    for _ in range(MOST + 1):
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return False
    return True
