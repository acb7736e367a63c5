"""What is told of a night: a line in the log, a span, metrics."""

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from latent_agent.errors import NightRunningError, NightStoppedError
from latent_agent.telemetry.instruments import instruments
from latent_memory.priors.nights import FAILED

if TYPE_CHECKING:
    from latent_agent.nights.job import NightJob, NightReport

logger = logging.getLogger("latent_agent.nights")

# A night that was told to end, or found another at work, is nothing to be warned of.
_NO_FAULT: Mapping[type[BaseException], str] = {
    NightStoppedError: "stopped",
    NightRunningError: "busy",
}
_FIGURES = ("trained", "held_out", "skipped", "champion", "updates", "best_loss")


@contextmanager
def observed(job: "NightJob") -> Generator["SeenNight"]:
    """Tell of the night that goes on meanwhile; one that has nothing to do is not worth a word."""
    seen = SeenNight(job)
    try:
        yield seen
    except BaseException as failure:
        verdict = _NO_FAULT.get(type(failure), FAILED)
        seen.told |= {"verdict": verdict, "error": type(failure).__name__}
        raise
    finally:
        if seen.told.get("verdict") != "idle":
            seen.tell()


class SeenNight:
    """A night that is told of."""

    def __init__(self, job: "NightJob") -> None:
        self._began, self._since = time.monotonic(), time.time_ns()
        self.told: dict[str, Any] = {"namespace": job.shelf.namespace}

    def ends(self, report: "NightReport") -> "NightReport":
        """Note what it came to, and return that."""
        self.told |= {
            "verdict": report.verdict,
            "night": report.night,
            "version": report.version,
            **{name: report.figures.get(name) for name in _FIGURES},
        }
        return report

    def tell(self) -> None:
        """Tell the log, the metrics and the tracer."""
        verdict, seconds = self.told["verdict"], time.monotonic() - self._began
        self.told["seconds"] = round(seconds, 4)
        if known := instruments():
            known.counters["nights"].add(1, {"verdict": verdict})
            known.histograms["night.duration"].record(seconds, {"verdict": verdict})
            told = {name: value for name, value in self.told.items() if value is not None}
            span = known.tracer.start_span("latent_agent.night", start_time=self._since)
            span.set_attributes({f"latent_agent.{name}": told[name] for name in told})
            span.end()
        level = logging.WARNING if verdict == FAILED else logging.INFO
        logger.log(level, "night: %s", verdict, extra={"event": "night", **self.told})
