"""The report of a rating: a line in the log, a metric. What was said is in neither."""

import logging

from latent_agent.telemetry.instruments import instruments
from latent_memory import Feedback
from latent_memory.feedback.values import is_up

logger = logging.getLogger("latent_agent.ratings")


def rated(given: Feedback, namespace: str, trace: int) -> None:
    """Report feedback that was stored."""
    word, corrected = "up" if is_up(given.score) else "down", given.correction is not None
    if known := instruments():
        details = {"rating": word, "source": given.source, "corrected": corrected}
        known.counters["ratings"].add(1, details)
    logger.info(
        "rated: %s",
        word,
        extra={
            "event": "rating",
            "namespace": namespace,
            "trace_id": trace,
            "score": given.score,
            "source": given.source,
            "corrected": corrected,
        },
    )
