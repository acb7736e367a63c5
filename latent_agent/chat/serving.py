"""A call that somebody waits for: it takes its turn, and is told of.

Replays at night and measurements ask the agent itself.
"""

from collections.abc import Sequence

from latent_agent.call.agent import LatentAgent
from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Progress
from latent_agent.model.prompt import Turn
from latent_agent.telemetry.calls import observed


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
