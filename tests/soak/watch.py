"""The memory that a process holds: sampled, and judged by a slope that outliers do not move."""

import gc
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import numpy as np

from tests.soak.gate import Gate
from tests.soak.held import allocated_bytes, python_blocks, resident_bytes

WARM_UP = 1 / 3  # of the samples are left out: weights, threads and caches come in then
BOUND = 0.05  # of the median, over all the rest of the time
# Seconds after which growth stands out from noise. Work in progress, and what each thread's heap
# keeps of it, move what is resident by some per cent over minutes; what is allocated at rest not.
LEAST_RESIDENT, LEAST_AT_REST = 1200.0, 180.0
_SAMPLES = 600
_REST = 10.0  # seconds between two rests

Point = tuple[float, int]  # seconds, bytes or blocks


@dataclass(frozen=True, slots=True)
class Sample:
    """What was there at a time.

    Attributes:
        seconds: Since the start.
        resident: Bytes of the process that lie in memory, whatever it is doing.
        rest: What is allocated while no thread is at work; None between two rests.
        disk: Bytes of the files beside the database.
    """

    seconds: float
    resident: int
    rest: "Rest | None"
    disk: int


@dataclass(frozen=True, slots=True)
class Rest:
    """What is allocated while no thread is at work, without garbage.

    Attributes:
        heap: Bytes of the C heap.
        blocks: Blocks of Python's own allocator.
    """

    heap: int
    blocks: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Growth:
    """How memory grew after the warm-up.

    Attributes:
        slope: Theil-Sen: the median of the slopes between all pairs of points; units a second.
        share: The slope times the time that was judged, as a share of the median.
        median: Of the points.
        unit: Bytes, or blocks.
        judged: Whether the time was long enough to say anything.
    """

    slope: float
    share: float
    median: float
    unit: Literal["bytes", "blocks"]
    judged: bool

    @property
    def steady(self) -> bool:
        """Whether it did not grow by more than the bound."""
        return not self.judged or self.share <= BOUND

    def __str__(self) -> str:
        size = f"{self.median / 1e6:,.0f} MB" if self.unit == "bytes" else f"{self.median:,.0f}"
        return f"{self.share:+.1%} of {size}"


def growth(samples: Sequence[Sample]) -> Mapping[str, Growth]:
    """Judge what is resident, as an operator sees it, and what is allocated at rest."""
    rests = [(sample.seconds, sample.rest) for sample in samples if sample.rest is not None]
    return {
        "resident": _growth([(s.seconds, s.resident) for s in samples], "bytes", LEAST_RESIDENT),
        "C heap at rest": _growth([(t, rest.heap) for t, rest in rests], "bytes", LEAST_AT_REST),
        "Python blocks at rest": _growth(
            [(t, rest.blocks) for t, rest in rests], "blocks", LEAST_AT_REST
        ),
    }


def _growth(points: Sequence[Point], unit: Literal["bytes", "blocks"], least: float) -> Growth:
    end = points[-1][0]
    kept = np.array([point for point in points if point[0] >= WARM_UP * end], dtype=np.float64)
    times, sizes = kept.T
    one, two = np.triu_indices(len(kept), 1)
    apart = times[two] > times[one]
    slopes = (sizes[two] - sizes[one])[apart] / (times[two] - times[one])[apart]
    slope = float(np.median(slopes)) if len(slopes) else 0.0
    median = float(np.median(sizes))
    share = slope * float(times[-1] - times[0]) / median
    return Growth(slope=slope, share=share, median=median, unit=unit, judged=end >= least)


class Watch:
    """Samples until it is left.

    Args:
        folder: Whose files are weighed.
        seconds: How long it will take, about.
        gate: What the threads pass to work.
    """

    def __init__(self, folder: Path, seconds: float, gate: Gate) -> None:
        self.samples: list[Sample] = []
        self._folder, self._every, self._gate = folder, max(seconds / _SAMPLES, 0.1), gate
        self._began = time.monotonic()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="soak-watch", daemon=True)

    def _run(self) -> None:
        rested = 0.0
        while not self._end.wait(self._every):
            self._take()
            if self._since() - rested >= _REST:
                rested = self._since()
                self._take_at_rest()

    def _since(self) -> float:
        return time.monotonic() - self._began

    def _take(self, rest: Rest | None = None) -> None:
        disk = _disk_bytes(self._folder)
        self.samples.append(Sample(self._since(), resident_bytes(), rest, disk))

    def _take_at_rest(self) -> None:
        with self._gate.rest():
            gc.collect()
            self._take(Rest(allocated_bytes(), python_blocks()))

    def __enter__(self) -> Self:
        self._take_at_rest()
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
        self._take()  # the threads have ended: what is allocated now compares with no rest


def _disk_bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        try:
            total += file.stat().st_size
        except FileNotFoundError:  # deleted since it was listed
            continue
    return total
