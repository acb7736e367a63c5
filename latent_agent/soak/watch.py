"""The memory that a process holds: sampled, and judged by a slope that outliers do not move."""

import ctypes
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

WARM_UP = 1 / 3  # of the samples are left out: weights, threads and caches come in then
BOUND = 0.05  # of the median, over all the rest of the time
LEAST = 180.0  # seconds after which growth can be told from the beginning's
_SAMPLES = 600

_STATM = Path("/proc/self/statm")


@dataclass(frozen=True, slots=True)
class Sample:
    """What was held at a time.

    Attributes:
        seconds: Since the start.
        resident: Bytes of the process that lie in memory.
        disk: Bytes of the files beside the database.
    """

    seconds: float
    resident: int
    disk: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """How memory grew after the warm-up.

    Attributes:
        slope: Theil-Sen: the median of the slopes between all pairs of samples; bytes a second.
        share: The slope times the time that was judged, as a share of the median.
        median: Of the resident bytes.
        judged: Whether the time was long enough to say anything.
    """

    slope: float
    share: float
    median: float
    judged: bool

    @property
    def steady(self) -> bool:
        """Whether it did not grow by more than the bound."""
        return not self.judged or self.share <= BOUND


def growth(samples: Sequence[Sample]) -> Growth:
    """Judge the samples that come after the warm-up."""
    end = samples[-1].seconds
    kept = [sample for sample in samples if sample.seconds >= WARM_UP * end]
    times = np.array([sample.seconds for sample in kept])
    held = np.array([sample.resident for sample in kept], dtype=np.float64)
    one, two = np.triu_indices(len(kept), 1)
    apart = times[two] > times[one]
    slopes = (held[two] - held[one])[apart] / (times[two] - times[one])[apart]
    slope = float(np.median(slopes)) if len(slopes) else 0.0
    median = float(np.median(held))
    share = slope * float(times[-1] - times[0]) / median
    return Growth(slope=slope, share=share, median=median, judged=end >= LEAST)


class Watch:
    """Samples until it is left.

    Args:
        folder: Whose files are weighed.
        seconds: How long it will take, about.
    """

    def __init__(self, folder: Path, seconds: float) -> None:
        self.samples: list[Sample] = []
        self._folder, self._every = folder, max(seconds / _SAMPLES, 0.1)
        self._began = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="soak-watch", daemon=True)

    def _run(self) -> None:
        while not self._end.wait(self._every):
            self._take()

    def _take(self) -> None:
        since = time.monotonic() - self._began
        self.samples.append(Sample(since, resident_bytes(), _disk_bytes(self._folder)))

    def __enter__(self) -> Self:
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end.set()
        self._thread.join()
        self._take()


def resident_bytes() -> int:
    """Return how many bytes of this process lie in memory, after what is free was given back.

    Each thread's share of the C heap keeps what it freed, and how much of it hangs on who allocated
    when: that is no leak, and would drown one.
    """
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)  # glibc's
    if _STATM.is_file():
        return int(_STATM.read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    told = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(os.getpid())], capture_output=True, check=True, text=True
    )
    return int(told.stdout) * 1024


def _disk_bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:  # deleted since it was listed
            continue
    return total
