"""The lines of a JSON Lines file."""

import codecs
from collections.abc import Iterator
from typing import BinaryIO

LONGEST_LINE = 64 << 20  # bytes


def json_lines(file: BinaryIO, longest: int = LONGEST_LINE) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank, with its number from 1.

    A line ends with LF or CR LF and nothing else, so that a text may hold U+2028; the last one need
    not end. A byte order mark at the start is left out.

    Args:
        file: What to read.
        longest: Bytes of a line; a longer one is yielded in parts, the first without an end.
    """
    number = 0
    while line := file.readline(longest):
        number += 1
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        if line.strip():
            yield number, line
