"""What all methods share: one model, one prompt, one judge, one checker."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from latent_agent.call.agent import LatentAgent
from latent_agent.call.call import Call
from latent_agent.call.outcome import Outcome
from latent_agent.call.progress import Progress
from latent_agent.evaluation.answer_pool import AnswerPool
from latent_agent.evaluation.checking import Checker
from latent_agent.evaluation.items import Item
from latent_agent.evaluation.pooled_engine import PooledEngine
from latent_agent.evaluation.records import Point, Record, best_said
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel
from latent_agent.model.sampling import Sampler
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.reward import Reward
from latent_agent.settings import Settings
from latent_memory import LatentMemory

NAMESPACE = "evaluation"
Choose = Callable[[Sequence[Mapping[str, Any]]], int]


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """What training questions left behind.

    Attributes:
        memory: The traces, one method's whole past.
        shuffled: The same traces, each under another one's question.
        misled: A memory whose winners are shuffled, which a prior was trained on.
        report: How the days and nights went. ``reward``: id of the reward that scored them;
            ``prior``, ``misled_prior``: versions of the priors trained; None: there is none.
    """

    memory: LatentMemory
    shuffled: LatentMemory
    misled: LatentMemory
    report: Mapping[str, Any]

    def close(self) -> None:
        """Close the memories."""
        for memory in (self.memory, self.shuffled, self.misled):
            memory.close()


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What all methods share.

    Attributes:
        model: The model.
        settings: How answers are searched for.
        reward: The judge.
        checker: What is right.
        ending: Put after each question: how the answer is to be stated.
        temperature: Of sampled answers (self-consistency, best-of-N).
        remembered: What training questions left behind; None: nothing was trained.
        stream: A memory that is written along the questions.
        pool: What other methods wrote for the question; None: nothing is shared.
        cancelled: Set once no further answer is wanted.
    """

    model: SharedModel
    settings: Settings
    reward: Reward
    checker: Checker
    ending: str = ""
    temperature: float = 1.0
    remembered: Remembered | None = None
    stream: LatentMemory | None = None
    pool: AnswerPool | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    def turns(self, item: Item) -> list[Turn]:
        """Return what is answered."""
        return [Turn("user", item.question + self.ending)]

    def search(self, item: Item, memory: TraceMemory | None = None) -> "Answered":
        """Answer an item as the product does."""
        log = AnswerLog()
        agent = LatentAgent(self._served(), self.settings, self.reward, memory)
        progress = Progress(log, cancelled=self.cancelled)
        return Answered(outcome=agent.answer(self.turns(item), progress), answers=log.answers)

    def call(self, item: Item, log: "AnswerLog") -> Call:
        """Open a call on an item."""
        turns = self.turns(item)
        template = self.settings.chat_template_kwargs
        prompt = encode_chat(self.model.tokenizer, turns, (), template)
        progress = Progress(log, cancelled=self.cancelled)
        return Call(self._served(), self.settings, self.reward, turns, prompt, progress)

    def expect(self, samplers: Sequence[Sampler]) -> None:
        """Write what these samplers draw together, once one of it is wanted.

        Args:
            samplers: Nobody else's: what a sampler draws hangs on what it drew before.
        """
        if self.pool is not None:
            self.pool.expect(samplers)

    @property
    def shares(self) -> bool:
        """Whether it takes from the pool: a budget may cut an answer short, which is no other's."""
        limits = self.settings.timeout, self.settings.max_forwarded_tokens
        return self.pool is not None and limits == (None, None)

    def _served(self) -> SharedModel:
        if self.pool is None or not self.shares:
            return self.model
        return self.model.served_by(PooledEngine(self.model.engine(), self.pool))


class AnswerLog:
    """Keeps the answers that a call reports: the draft, and each one judged."""

    def __init__(self) -> None:
        self.answers: list[Mapping[str, Any]] = []

    def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        """Take in an event."""
        if event == "verdict":
            self.answers.append(details)
        elif event == "draft":
            unjudged = {"reward": None, "accepted": False, "source": "draft", "checks": {}}
            whole = details["finish"] == "stop"
            self.answers.append({**details, **unjudged, "complete": whole})


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One item answered: the outcome, the answers on the way, and how one of them is chosen."""

    outcome: Outcome
    answers: Sequence[Mapping[str, Any]] = ()
    choose: Choose = best_said


Method = Callable[[Bench, Item], Answered]


def attempt(method: Method, bench: Bench, item: Item, blank: Record) -> Record:
    """Answer one item and check the answer; what fails is wrong, and says why."""
    began = time.perf_counter()
    try:
        answered = method(bench, item)
        record = _checked(bench.checker, item, answered, blank)
    except Exception as error:
        # One item of thousands must not end an evaluation: it is wrong, and stays in the count.
        record = replace(blank, error=f"{type(error).__name__}: {error}", stopped="failed")
    return replace(record, seconds=round(time.perf_counter() - began, 4))


def _checked(checker: Checker, item: Item, answered: Answered, blank: Record) -> Record:
    outcome = answered.outcome
    right = checker.is_right(item, outcome.text)
    points = _points(checker, item, answered)
    if not points:
        spent = sum(outcome.forwarded_tokens.values())
        points = [Point(forwarded=spent, text=outcome.text, right=right, answer_right=right)]
    return replace(
        blank,
        draft=outcome.draft,
        text=outcome.text,
        right=right,
        points=points,
        forwarded=dict(outcome.forwarded_tokens),
        steps=outcome.iterations,
        rewards=[max(rewards) for rewards in outcome.rewards],
        stopped=outcome.stopped,
        source=outcome.source,
        answer_tokens=outcome.answer_tokens,
        neighbours=list(outcome.neighbours),
        prior=outcome.prior,
        stored=outcome.trace_id is not None,
        error=outcome.error or outcome.memory_error,
    )


def _points(checker: Checker, item: Item, answered: Answered) -> list[Point]:
    said, known = answered.answers, dict[str, bool]()
    for one in said:
        if one["text"] not in known:
            known[one["text"]] = checker.is_right(item, one["text"])
    return [
        Point(
            forwarded=one["forwarded_tokens"],
            text=one["text"],
            right=known[one["text"]],
            answer_right=known[said[answered.choose(said[: number + 1])]["text"]],
            reward=one["reward"],
            accepted=one["accepted"],
            source=one["source"],
            checks=one["checks"],
            complete=one.get("complete", True),
        )
        for number, one in enumerate(said)
    ]
