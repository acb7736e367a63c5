"""A call that somebody waits for: it takes its turn, and is logged and measured.

Replays at night and measurements ask the agent itself.
"""

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing, contextmanager
from contextvars import copy_context
from dataclasses import replace
from functools import partial
from typing import Any

from latent_agent.call.agent import LatentAgent
from latent_agent.call.outcome import Outcome
from latent_agent.call.parallel import in_parallel
from latent_agent.call.progress import Progress
from latent_agent.errors import BusyError, SettingError
from latent_agent.model.conversation import Turn
from latent_agent.model.registry import SharedModel
from latent_agent.recall.types import NO_MEMORY
from latent_agent.settings import Settings
from latent_agent.telemetry.calls import observed
from latent_memory.fork_renewal import ForkSafeLock

_log = logging.getLogger(__name__)


def serve(agent: LatentAgent, turns: Sequence[Turn], progress: Progress | None = None) -> Outcome:
    """Answer a conversation once it is its turn.

    Raises:
        BusyError: If too many calls wait already, or the timeout passes in line.
        PromptError: If the messages make no prompt, or the prompt does not fit.
        CallCancelled: If ``progress.cancelled`` is set before the answer stands.
    """
    progress = progress or Progress()
    queue = agent.model.queue
    with observed(agent, turns, progress) as seen:
        with queue.turn(agent.settings, progress.cancelled, progress.place) as waited:
            seen.begins(waited)
            outcome = agent.without(waited).answer(turns, progress)
        return seen.ends(outcome)


@contextmanager
def awaited(model: SharedModel, settings: Settings) -> Generator[dict[str, Any]]:
    """Take a place in the model's queue, before a thread is free to answer in.

    Yields the ``place`` and the event ``cancelled`` for the call's progress. The event is set on
    the way out, and stops what is still at work then.
    """
    cancelled = threading.Event()
    with model.queue.place(settings) as place:
        try:
            yield {"cancelled": cancelled, "place": place}
        finally:
            cancelled.set()


def serve_choices(
    agent: LatentAgent, turns: Sequence[Turn], progress: Progress, count: int
) -> list[Outcome]:
    """Answer ``count`` times; all but the first sample their draft, and leave the memory alone.

    They are written together, unless something is to be shared out: ``timeout`` and
    ``max_forwarded_tokens`` hold for all together, so that each answer has what those before it
    left, and a limited queue gives one turn at a time. The first always comes back. One that not a
    single token is left for, or that gets no turn because others keep the model busy, is left out,
    and so are those after it.

    Raises:
        BusyError: If the first gets no turn.
        PromptError: If the messages make no prompt, or the prompt does not fit.
        CallCancelled: If ``progress.cancelled`` is set before all answers stand.
    """
    if count > 1:
        agent.model.engine()  # reading the weights is on no call's clock
    settings = agent.settings
    shared_out = settings.timeout, settings.max_forwarded_tokens, settings.max_waiting
    if count > 1 and shared_out == (None, None, None):
        return _together(agent, turns, progress, count)
    began = time.monotonic() - (0.0 if progress.place is None else progress.place.waited)
    outcomes = [serve(agent, turns, progress)]
    for other in range(1, count):
        spent = sum(sum(outcome.forwarded_tokens.values()) for outcome in outcomes)
        left = _left(agent.settings, time.monotonic() - began, spent)
        if left is None:
            break
        try:
            outcome = serve(_varied(agent, left, other), turns, progress)
        except BusyError:
            break
        if outcome.finish in ("time", "tokens") and not outcome.answer_tokens:
            break
        outcomes.append(outcome)
    if len(outcomes) < count:
        _log.warning(
            "%d of n=%d answers were written: for the others no time, tokens or turn was left; "
            "give a larger timeout or max_forwarded_tokens, or a smaller n",
            len(outcomes),
            count,
        )
    return outcomes


def _together(
    agent: LatentAgent, turns: Sequence[Turn], progress: Progress, count: int
) -> list[Outcome]:
    """Answer at the same time, so that all share the model's passes."""
    one_at_a_time = ForkSafeLock()

    def report(event: str, details: Mapping[str, Any]) -> None:
        with one_at_a_time:
            progress.report(event, **details)

    def job(one: LatentAgent) -> Callable[[], Outcome]:
        own = Progress(report, cancelled=progress.cancelled, place=progress.place)
        # In the caller's context, which holds its turn and the span around it.
        return partial(copy_context().run, partial(serve, one, turns, own))

    varied = (_varied(agent, agent.settings, other) for other in range(1, count))
    jobs = [job(one) for one in (agent, *varied)]
    most = min(count, agent.settings.max_calls)
    with closing(in_parallel(jobs, most, progress.cancelled)) as outcomes:
        return list(outcomes)


def _varied(agent: LatentAgent, settings: Settings, other: int) -> LatentAgent:
    varied = replace(settings, seed=settings.seed + other, sample_draft=True)
    return agent.having(varied, NO_MEMORY)


def _left(settings: Settings, seconds: float, tokens: int) -> Settings | None:
    """Return settings with what is left of the budgets; None if nothing is left of one."""
    timeout, most = settings.timeout, settings.max_forwarded_tokens
    timeout = None if timeout is None else timeout - seconds
    most = None if most is None else most - tokens
    if any(left is not None and left <= 0 for left in (timeout, most)):
        return None
    return replace(settings, timeout=timeout, max_forwarded_tokens=most)


def checked_choices(n: Any, settings: Settings) -> int:
    """Return how many answers are asked for.

    Raises:
        SettingError: If that is no number of answers, or greedy decoding would repeat one.
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise SettingError(f"n must be a whole number, got {n!r}; give 1 or more")
    if n > 1 and settings.temperature == 0:
        raise SettingError(
            f"n={n!r} needs a temperature above 0, got temperature={settings.temperature!r}: "
            "greedy answers are all the same; set temperature=0.7, or n=1"
        )
    return n
