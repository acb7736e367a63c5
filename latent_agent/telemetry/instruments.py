"""OpenTelemetry's instruments, if its API is installed: the metrics, each with name and unit."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opentelemetry.metrics import Counter, Histogram, Meter
    from opentelemetry.trace import Tracer

SCOPE = "latent_agent"

COUNTERS: Mapping[str, tuple[str, str]] = {
    "calls": ("{call}", "Calls that were answered, by stopped, source and model"),
    "failures": ("{call}", "Calls that were not answered, by error"),
    "warm_starts": ("{call}", "Answers that a warm start gave, by source"),
    "forwarded_tokens": ("{token}", "Positions through the model's body, by stage"),
    "traces": ("{trace}", "What became of the traces of judged calls, by result"),
    "nights": ("{night}", "Nights, by verdict"),
    "ratings": ("{rating}", "Feedback on answers, by rating, source and corrected"),
}

_SECONDS = (0.005, 0.02, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)

HISTOGRAMS: Mapping[str, tuple[str, str, tuple[float, ...]]] = {
    "call.duration": ("s", "From question to answer, waiting in line included", _SECONDS),
    "queue.duration": ("s", "Waiting in line", _SECONDS),
    "recall.duration": ("s", "Looking for neighbours and prior", _SECONDS),
    "steps": ("{step}", "Gradient steps of a call", (0, 1, 2, 3, 5, 8, 13, 21)),
    # Not the reward itself, which is negative: sums of histograms must not fall.
    "quality": ("1", "1 + the answer's reward", tuple(tenth / 10 for tenth in range(11))),
    "night.duration": ("s", "A night", (*_SECONDS, 3600, 4 * 3600)),
}


@dataclass(frozen=True, kw_only=True)
class Instruments:
    """The tracer, and the metrics by their names without ``latent_agent.``."""

    tracer: "Tracer"
    counters: "Mapping[str, Counter]"
    histograms: "Mapping[str, Histogram]"


@cache
def instruments() -> Instruments | None:
    """Return the instruments; None if OpenTelemetry's API is not installed."""
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        return None
    return _made(metrics.get_meter(SCOPE), trace.get_tracer(SCOPE))


def _made(meter: "Meter", tracer: "Tracer") -> Instruments:
    return Instruments(
        tracer=tracer,
        counters={
            name: meter.create_counter(f"{SCOPE}.{name}", unit, meaning)
            for name, (unit, meaning) in COUNTERS.items()
        },
        histograms={
            name: meter.create_histogram(
                f"{SCOPE}.{name}", unit, meaning, explicit_bucket_boundaries_advisory=list(bounds)
            )
            for name, (unit, meaning, bounds) in HISTOGRAMS.items()
        },
    )
