"""Stored texts as they may be shown: none of them is a command to a terminal."""

from collections.abc import Sequence


def clean(text: str) -> str:
    """Replace what a terminal might take for a command; line breaks stay."""
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)


def rewards_text(rewards: Sequence[float]) -> str:
    """Return a round's rewards in few characters: its own, or the best of several."""
    best = f"{max(rewards):.2f}"
    return best if len(rewards) == 1 else f"{best} (best of {len(rewards)})"
