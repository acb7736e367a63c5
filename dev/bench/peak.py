"""The most memory that a process held since it last asked."""

import contextlib
import resource
import sys
from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")


def forget_peak() -> None:
    """Begin anew, where the system lets a process do so."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):  # the peak counts from the start of the process then
        _CLEAR.write_text("5", "ascii")


def peak_bytes() -> int:
    """Return the peak: of the GPU's memory where there is one, else of the process."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    if _STATUS.is_file():
        (line,) = (line for line in _STATUS.read_text("ascii").splitlines() if "VmHWM" in line)
        return 1024 * int(line.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
