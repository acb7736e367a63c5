"""The report of a night: a line in the log, a span, metrics."""

import logging
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any

from latent_agent.errors import NightRunningError, NightStoppedError
from latent_agent.telemetry.instruments import instruments
from latent_memory.priors.nights import FAILED, STOPPED

logger = logging.getLogger("latent_agent.nights")

# Such an end is no fault, and not warned of.
_NO_FAULT: Mapping[type[BaseException], str] = {
    NightStoppedError: STOPPED,
    NightRunningError: "busy",
}
_REPORTED = (
    *("namespace", "verdict", "night", "version", "error"),
    *("trained", "held_out", "skipped", "champion", "updates", "best_loss"),
)


@contextmanager
def observed(
    namespace: str, ignored: type[Exception] | tuple[()] = ()
) -> Generator[dict[str, Any]]:
    """Report the night that runs meanwhile, unless its verdict is ``idle``.

    Args:
        namespace: Whose night it is.
        ignored: An error that is not reported.

    Yields:
        What is reported of it, to be filled: verdict, night, version and figures.
    """
    began, since = time.monotonic(), time.time_ns()
    details: dict[str, Any] = {"namespace": namespace}
    try:
        yield details
    except ignored:
        raise
    except BaseException as failure:
        verdict = _NO_FAULT.get(type(failure), FAILED)
        details |= {"verdict": verdict, "error": type(failure).__name__}
        _emit(details, time.monotonic() - began, since)
        raise
    if details["verdict"] != "idle":
        _emit(details, time.monotonic() - began, since)


def _emit(details: Mapping[str, Any], seconds: float, since: int) -> None:
    verdict = details["verdict"]
    row = {name: details[name] for name in _REPORTED if name in details}
    row["seconds"] = round(seconds, 4)
    if known := instruments():
        known.counters["nights"].add(1, {"verdict": verdict})
        known.histograms["night.duration"].record(seconds, {"verdict": verdict})
        span = known.tracer.start_span("latent_agent.night", start_time=since)
        span.set_attributes(
            {f"latent_agent.{name}": value for name, value in row.items() if value is not None}
        )
        span.end()
    level = logging.WARNING if verdict == FAILED else logging.INFO
    logger.log(level, "night: %s", verdict, extra={"event": "night", **row})
