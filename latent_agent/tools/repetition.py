"""Repetition in JSON: strings and lists that go round in circles are closed.

A model that has no more to say in a string, where a grammar lets it do nothing but go on or close
it, may repeat a sentence until the limit of tokens.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from llguidance import LLTokenizer

TIMES, SIZE = 3, 60
"""How often in a row the same is written before it is a circle, and how many bytes at least."""

# A whole string, a bracket, a comma, or the opening of a string that has not ended.
_PARTS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]|"', re.DOTALL)

TokenMask = npt.NDArray[np.bool_]


def circles(parts: bytes | Sequence[bytes]) -> bool:
    """Whether a string, or a list's items, end with the same stretch often enough in a row."""
    for period in range(1, len(parts) // TIMES + 1):
        stretch = parts[-period:]
        size = period if isinstance(stretch, bytes) else sum(map(len, stretch))
        times = max(TIMES, -(-SIZE // max(size, 1)))
        if times * period <= len(parts) and all(
            parts[-period * (n + 1) : -period * n] == stretch for n in range(1, times)
        ):
            return True
    return False


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """What has not ended in a beginning of JSON.

    Attributes:
        string: The text of an open string; None: none is open.
        lists: The whole items of each open list that a comma follows.
        item: What stands after the innermost list's last comma; None: in no list, or in a string
            or an object there.
    """

    string: bytes | None
    lists: Sequence[Sequence[bytes]]
    item: bytes | None


@dataclass
class _Open:
    bracket: bytes
    start: int
    items: list[bytes]


def unfinished(text: bytes) -> Unfinished:
    """Read a beginning of JSON, with or without markers before it."""
    stack: list[_Open] = []
    for part in _PARTS.finditer(text):
        match part[0]:
            case b'"':
                return Unfinished(string=text[part.end() :], lists=_lists(stack), item=None)
            case b"[" | b"{" as bracket:
                stack.append(_Open(bracket, part.end(), []))
            case b"]" | b"}" if stack:
                stack.pop()
            case b"," if stack:
                stack[-1].items.append(text[stack[-1].start : part.start()].strip())
                stack[-1].start = part.end()
            case _:
                pass
    in_list = stack and stack[-1].bracket == b"["
    item = text[stack[-1].start :].strip() if in_list else None
    return Unfinished(string=None, lists=_lists(stack), item=item)


def _lists(stack: Sequence[_Open]) -> list[list[bytes]]:
    return [part.items for part in stack if part.bracket == b"["]


class RepetitionGuard:
    """Narrows what a grammar allows to what ends a circle; a function of the tokens alone.

    Args:
        tokens: The model's, as grammars see them.
        rows: Width of its logits.
    """

    def __init__(self, tokens: LLTokenizer, rows: int) -> None:
        self._tokens, self._rows = tokens, rows
        self._masks: dict[str, TokenMask] = {}

    def narrow(self, allowed: TokenMask, tokens: Sequence[int]) -> TokenMask:
        """Return which allowed tokens end a circle; all of them where there is none.

        A circle goes on where the grammar allows no end: a list may have a least length.

        Args:
            allowed: What the grammar allows next, (rows,).
            tokens: The answer so far.
        """
        at = unfinished(self._tokens.decode_bytes(list(tokens)))
        if at.item and circles([*at.lists[-1], at.item]):
            return _narrower(allowed, self._list_ends)
        if at.string is not None and circles(at.string) and not _escapes(at.string):
            allowed = _narrower(allowed, self._string_ends)
        if any(map(circles, at.lists)):
            allowed = _narrower(allowed, self._within_item)
        return allowed

    @property
    def _string_ends(self) -> TokenMask:
        return self._those("string", lambda token: token.startswith(b'"'))

    @property
    def _list_ends(self) -> TokenMask:
        return self._those("list", lambda token: token.startswith(b"]"))

    @property
    def _within_item(self) -> TokenMask:
        """Tokens that do not go from a list's item to the next; others write the same in parts."""
        return self._those("item", lambda token: re.search(rb'["\]}\w]\s*,', token) is None)

    def _those(self, name: str, hold: Callable[[bytes], bool]) -> TokenMask:
        """Look at all tokens, once; not by functools, whose lock crosses a fork."""
        if name not in self._masks:
            decode = self._tokens.decode_bytes
            self._masks[name] = np.array([hold(decode([id])) for id in range(self._rows)])
        return self._masks[name]


def _narrower(allowed: TokenMask, wanted: TokenMask) -> TokenMask:
    both = allowed & wanted
    return both if both.any() else allowed


def _escapes(string: bytes) -> bool:
    """Whether a quote would be part of the string: an odd number of backslashes precedes it."""
    return (len(string) - len(string.rstrip(b"\\"))) % 2 == 1
