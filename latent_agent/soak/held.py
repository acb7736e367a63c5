"""How much memory a process has, and how much of it it needs."""

import ctypes
import gc
import os
import subprocess
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
    told = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, check=True, text=True
    )
    return int(told.stdout) * 1024


def held_bytes() -> int:
    """Return the resident bytes without garbage and without what the C heap has free.

    A C library keeps what was freed, a share for each thread; how much hangs on which calls met.
    """
    gc.collect()
    return resident_bytes() - _free_bytes()


def _free_bytes() -> int:
    heap = getattr(ctypes.CDLL(None), "mallinfo2", None)  # another C library: none is known
    if heap is None:
        return 0
    heap.restype = _Heap
    return int(heap().fordblks)
