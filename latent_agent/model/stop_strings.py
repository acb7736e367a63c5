"""Detect a stop text in an answer that grows token by token, at the same cost for each token."""

from collections.abc import Callable, Sequence

_SLACK = 8
"""Characters before the newest token that it may still change: a character's first bytes, say."""


def holds_stop(
    text: Callable[[Sequence[int]], str], tokens: Sequence[int], stop: Sequence[str], new: int
) -> bool:
    """Whether an answer's text holds a stop text.

    Args:
        text: Decodes tokens.
        tokens: The answer so far.
        stop: Stop texts.
        new: How many tokens at the end are new; before them there was no stop text. Only an end
            that is long enough for one is decoded, and a match is confirmed in the whole text.
    """
    if not stop:
        return False
    reach = _SLACK + max(map(len, stop)) + len(text(tokens[len(tokens) - new :]))
    width = new + _SLACK
    while width < len(tokens):
        end = text(tokens[-width:])
        # An end that begins within a character may hide what follows.
        if len(end) >= reach and not end.startswith("\ufffd"):
            if not any(word in end for word in stop):
                return False
            break
        width *= 2
    whole = text(tokens)
    return any(word in whole for word in stop)
