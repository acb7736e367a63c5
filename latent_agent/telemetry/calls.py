"""The report of a call: a line in the log, a span, metrics.

No question and no answer is among it, unless ``log_text`` is set; then both are in the log.
"""

import logging
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Progress
from latent_agent.errors import CallCancelled
from latent_agent.model.conversation import Turn, last_question
from latent_agent.telemetry.instruments import Instruments, instruments
from latent_memory.fork_renewal import ForkSafeLock

if TYPE_CHECKING:
    from opentelemetry.trace import Span

    from latent_agent.call.agent import LatentAgent

logger = logging.getLogger("latent_agent.calls")

_HOUR = 3600.0  # seconds in which a failure is warned of once


@contextmanager
def observed(
    agent: "LatentAgent", turns: Sequence[Turn], progress: Progress
) -> Generator["ObservedCall"]:
    """Report the call that runs meanwhile: its outcome, or that it failed."""
    seen, known = ObservedCall(agent, turns), instruments()
    if known is None:
        with seen.failing(None):
            yield seen
        return
    with known.tracer.start_as_current_span(
        "latent_agent.call", record_exception=False, set_status_on_exception=False
    ) as span:
        if span.is_recording():
            seen.span = span
            progress.add_listener(lambda event, details: span.add_event(event, _plain(details)))
        with seen.failing(known):
            yield seen


class ObservedCall:
    """A call that is reported.

    Args:
        agent: Who answers.
        turns: The conversation.
    """

    def __init__(self, agent: "LatentAgent", turns: Sequence[Turn]) -> None:
        self._agent, self._turns = agent, turns
        self._began, self._waited = time.monotonic(), 0.0
        self.span: Span | None = None

    def begins(self, waited: float) -> None:
        """Note how many seconds it waited for its turn."""
        self._waited = waited

    def ends(self, outcome: Outcome) -> Outcome:
        """Report the outcome, and return it."""
        seconds = time.monotonic() - self._began
        if known := instruments():
            _measure(known, outcome, self._model(), seconds, self._waited)
        if self.span is not None or logger.isEnabledFor(logging.INFO):
            self._report(outcome, seconds)
        if outcome.memory_failure is not None:
            _warn_once(self._namespace, outcome.memory_failure, outcome.trace_id)
        return outcome

    def _report(self, outcome: Outcome, seconds: float) -> None:
        details = {
            "model": self._model(),
            "namespace": self._namespace,
            "seconds": round(seconds, 4),
            "waited": round(self._waited, 4),
            "stopped": outcome.stopped,
            "source": outcome.source,
            "reward": outcome.reward,
            "steps": outcome.iterations,
            "neighbours": len(outcome.neighbours),
            "prior": outcome.prior,
            "recall_seconds": outcome.recall_seconds,
            "trace_id": outcome.trace_id,
            "memory_failure": outcome.memory_failure,
            "prompt_tokens": outcome.prompt_tokens,
            "answer_tokens": outcome.answer_tokens,
            **{f"forwarded_{stage}": spent for stage, spent in outcome.forwarded_tokens.items()},
        }
        if self.span is not None:
            self.span.set_attributes(_named(details))
        if self._agent.settings.log_text:
            details |= {"question": last_question(self._turns), "answer": outcome.text}
        logger.info("answered: %s after %d steps", outcome.stopped, outcome.iterations,
                    extra={"event": "call", **details})  # fmt: skip

    @contextmanager
    def failing(self, known: Instruments | None) -> Generator[None]:
        """Report what is raised meanwhile, by its type alone: its text may hold the question."""
        try:
            yield
        except BaseException as failure:
            error = type(failure).__name__
            if known is not None:
                known.counters["failures"].add(1, {"error": error})
            if self.span is not None:
                self._mark(error, cancelled=isinstance(failure, CallCancelled))
            details = {"event": "failure", "error": error, "namespace": self._namespace}
            logger.info("not answered: %s", error, extra=details)
            raise

    def _mark(self, error: str, *, cancelled: bool) -> None:
        from opentelemetry.trace import StatusCode

        assert self.span is not None
        self.span.set_attribute("error.type", error)
        if not cancelled:
            self.span.set_status(StatusCode.ERROR)

    @property
    def _namespace(self) -> str | None:
        return self._agent.memory.namespace

    def _model(self) -> str:
        """Return the model's id; of a folder its name, whose path nobody else need know."""
        name: str = self._agent.model.name
        return Path(name).name if Path(name).is_absolute() else name


def _measure(
    known: Instruments, outcome: Outcome, model: str, seconds: float, waited: float
) -> None:
    add, record = known.counters, known.histograms
    details = {"stopped": outcome.stopped, "source": outcome.source, "model": model}
    add["calls"].add(1, details)
    if outcome.source in ("memory", "prior"):
        add["warm_starts"].add(1, {"source": outcome.source})
    for stage, spent in outcome.forwarded_tokens.items():
        add["forwarded_tokens"].add(spent, {"stage": stage})
    record["call.duration"].record(seconds)
    record["queue.duration"].record(waited)
    record["steps"].record(outcome.iterations)
    if outcome.reward is not None:
        record["quality"].record(1 + outcome.reward)
    if outcome.recall_seconds is not None:
        record["recall.duration"].record(outcome.recall_seconds)
    if outcome.trace_id is not None or outcome.memory_failure is not None:
        kept = outcome.trace_id is not None
        add["traces"].add(1, {"result": "kept" if kept else outcome.memory_failure})


def _named(details: Mapping[str, Any]) -> dict[str, Any]:
    return {f"latent_agent.{name}": value for name, value in details.items() if value is not None}


def _plain(details: Mapping[str, Any]) -> dict[str, Any]:
    """Return an event's numbers and short words: no text, and nothing nested."""
    kept = {name: value for name, value in details.items() if name != "text"}
    kept |= {f"check.{name}": value for name, value in kept.pop("checks", {}).items()}
    return {name: value for name, value in kept.items() if value is not None}


_warned: dict[tuple[str | None, str], float] = {}
_lock = ForkSafeLock()


def _warn_once(namespace: str | None, failure: str, trace_id: int | None) -> None:
    """Warn of a memory that fails, or has no room, once an hour for each namespace and error."""
    now = time.monotonic()
    with _lock:
        if now - _warned.get((namespace, failure), -_HOUR) < _HOUR:
            return
        if len(_warned) >= 1000:
            _warned.clear()
        _warned[namespace, failure] = now
    logger.warning(
        "the memory refused: %s; answers go on, see memory_error in their metadata; not warned "
        "of again within the hour",
        failure,
        extra={"event": "memory", "error": failure, "namespace": namespace, "trace_id": trace_id},
    )
