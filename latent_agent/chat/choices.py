"""Several answers to one conversation, within the budgets of one call."""

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import replace

from latent_agent.call.agent import LatentAgent
from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Progress
from latent_agent.chat.serving import serve
from latent_agent.errors import BusyError
from latent_agent.model.prompt import Turn
from latent_agent.settings import Settings


def choices(
    agent: LatentAgent, turns: Sequence[Turn], progress: Progress, count: int
) -> list[Outcome]:
    """Answer ``count`` times; all but the first sample their draft, and leave the memory alone.

    ``timeout`` and ``max_forwarded_tokens`` hold for all together: each answer has what those
    before it left. The first always comes back. One that not a single token is left for, or that
    gets no turn because others keep the model busy, is left out, and so are those after it.

    Raises:
        BusyError: If the first gets no turn.
        PromptError: If the messages make no prompt, or the prompt does not fit.
        CallCancelled: If ``progress.cancelled`` is set before all answers stand.
    """
    if count > 1:
        agent.model.backbone()  # reading the weights is on no call's clock
    began = time.monotonic()
    outcomes = [serve(agent, turns, progress)]
    for other in range(1, count):
        spent = sum(sum(outcome.forwarded_tokens.values()) for outcome in outcomes)
        left = _left(agent.settings, time.monotonic() - began, spent)
        if left is None:
            break
        another = copy(agent)
        another.memory = None
        another.settings = replace(left, seed=left.seed + other, sample_draft=True)
        try:
            outcome = serve(another, turns, progress)
        except BusyError:
            break
        if outcome.finish in ("time", "tokens") and not outcome.answer_tokens:
            break
        outcomes.append(outcome)
    return outcomes


def _left(settings: Settings, seconds: float, tokens: int) -> Settings | None:
    """Return settings with what is left of the budgets; None if nothing is left of one."""
    timeout, most = settings.timeout, settings.max_forwarded_tokens
    timeout = None if timeout is None else timeout - seconds
    most = None if most is None else most - tokens
    if any(left is not None and left <= 0 for left in (timeout, most)):
        return None
    return replace(settings, timeout=timeout, max_forwarded_tokens=most)
