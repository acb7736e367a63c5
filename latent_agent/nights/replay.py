"""Held-out questions asked again, with one prior, another, or none."""

import threading
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from latent_agent.call.agent import LatentAgent
from latent_agent.call.progress import Progress
from latent_agent.call.stored_call import StoredCall, call_of
from latent_agent.errors import BudgetSpent, RewardError
from latent_agent.model.registry import SharedModel
from latent_agent.nights.dataset import part_of
from latent_agent.recall.active_prior import ActivePrior
from latent_agent.recall.memory_adapter import Embedder, embed_question
from latent_agent.recall.types import CallMemory, OpenCall, Recalled
from latent_agent.recall.warm_start import WarmStart
from latent_agent.reward import Reward
from latent_agent.settings import Settings
from latent_memory import StoredTrace


@dataclass(frozen=True, kw_only=True)
class Replay:
    """The outcome of one question.

    Attributes:
        steps: Gradient steps taken.
        reward: Of the answer; an answer that was not accepted counts no more than the threshold.
        accepted: Whether the answer passed.
        forwarded: Forwarded tokens.
        text: The answer.
    """

    steps: int
    reward: float
    accepted: bool
    forwarded: int
    text: str


@dataclass(frozen=True)
class OnlyPrior(CallMemory):
    """Recalls nothing but one prior's guess, and stores nothing."""

    guess: ActivePrior
    embedder: Embedder | None = None

    def recall(self, call: OpenCall) -> Recalled:
        """Correct the draft's first latents."""
        try:
            embedding = embed_question(call, self.embedder)
            call.writer.opening()
        except BudgetSpent:
            return Recalled()
        latents = self.guess.correct(embedding, call.writer.base())
        return Recalled(warm_starts=[WarmStart(latents=latents, source="prior")])


@dataclass(frozen=True, kw_only=True)
class Replayer:
    """The model, settings, reward and embedder that all contestants share.

    Attributes:
        at_once: How many replays share the model's passes.
        stop: Once set, those that run are cancelled.
    """

    model: SharedModel
    settings: Settings
    reward: Reward
    embedder: Embedder | None = None
    at_once: int = 1
    stop: threading.Event = field(default_factory=threading.Event)

    def replay(
        self,
        asked: StoredCall,
        prior: ActivePrior | None,
        cancelled: threading.Event | None = None,
    ) -> Replay:
        """Ask as a call did, searched as calls with these settings are, but without neighbours.

        Args:
            asked: The conversation.
            prior: What corrects the draft's first latents; None: nothing.
            cancelled: Set once the replay is no longer wanted.

        Raises:
            CallCancelled: If it is not.
            PromptError: If the conversation makes no prompt.
            RewardError: If the reward fails.
        """
        settings = replace(self.settings, neighbours=0)
        memory = None if prior is None else OnlyPrior(prior, self.embedder)
        agent = LatentAgent(self.model, settings, self.reward, memory, asked.form)
        outcome = agent.answer(asked.turns, Progress(cancelled=cancelled))
        if outcome.stopped == "reward_error" or outcome.reward is None:
            raise RewardError(outcome.error or f"the reward must score answers, got {outcome!r}")
        accepted = outcome.stopped == "threshold"
        return Replay(
            steps=outcome.iterations,
            reward=outcome.reward if accepted else min(outcome.reward, agent.settings.threshold),
            accepted=accepted,
            forwarded=sum(outcome.forwarded_tokens.values()),
            text=outcome.text,
        )


def pick_questions(
    traces: Iterable[StoredTrace], count: int, *, since: int, seed: int
) -> Sequence[StoredCall]:
    """Choose different questions of the gate's part, half newer than the trace ``since``.

    Which ones depends on the seed and the questions alone; memory does not grow with the traces.
    What a trace's call was asked is asked again whole; if it was too long to keep, not at all.
    """
    chosen: dict[bool, dict[int, StoredCall]] = {True: {}, False: {}}
    for stored in traces:
        asked = call_of(stored.trace) if part_of(stored) == "gate" else None
        if asked is None:
            continue
        group = chosen[stored.id > since]
        text = f"{seed}/{stored.trace.conversation or stored.trace.query}"
        group[zlib.crc32(text.encode("utf-8", "surrogatepass"))] = asked
        if len(group) > count:
            del group[max(group)]
    new, old = (dict(sorted(group.items())) for group in chosen.values())
    share = max(count // 2, count - len(old))
    picked = dict(islice(new.items(), share))
    rest = ((key, asked) for key, asked in old.items() if key not in picked)
    picked |= dict(islice(rest, count - len(picked)))
    return list(picked.values())
