"""How much memory a process has, and how much of it is allocated."""

import ctypes
import os
import subprocess
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")


class _Heap(ctypes.Structure):
    """``struct mallinfo2`` of glibc 2.33 and later: bytes, over all its arenas."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
            "fordblks", "keepcost",
        )
    ]  # fmt: skip


def resident_bytes() -> int:
    """Return how many bytes of this process lie in memory."""
    if _STATM.is_file():
        return int(_STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    done = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, check=True, text=True
    )
    return int(done.stdout) * 1024


def allocated_bytes() -> int:
    """Return the bytes of the C heap that were allocated and not freed, by its own books.

    Tensors, indexes and SQLite's pages are there. What was freed is not counted, wherever it lies:
    a C library keeps it, a share for each thread, and how much hangs on which calls met. Where the
    C library keeps no such books, all that is resident is counted.
    """
    heap = getattr(ctypes.CDLL(None), "mallinfo2", None)
    if heap is None:
        return resident_bytes()
    heap.restype = _Heap
    counts = heap()
    return int(counts.uordblks) + int(counts.hblkhd)


def python_blocks() -> int:
    """Return how many blocks Python's own allocator has given out: one or more an object.

    Small objects lie in arenas of Python's, outside the C heap.
    """
    return sys.getallocatedblocks()
