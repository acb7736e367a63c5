"""Seeded calls with ragged prompts, to run alone and at once on any engine."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any

from latent_agent.model.budget import Budget
from latent_agent.model.engine import AnswerLimits, Completion, Engine
from latent_agent.model.sampling import Sampler
from latent_agent.reward.judge import JudgeRequest
from latent_agent.reward.self_judge import SelfJudge
from tests.support.engines import complete

SECONDS = 120  # whoever waits longer waits for ever


class Work:
    """A seeded call: a ragged prompt, and several answers with some prefix in common."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.prompt = random.choices(range(3, 500), k=random.randrange(1, 40))
        prefix = random.choices(range(3, 500), k=random.randrange(6))
        self.prefixes = [prefix[: random.randrange(len(prefix) + 1)] for _ in range(3)]
        self.lengths = [random.randrange(8, 30) for _ in self.prefixes]
        self.pauses = [random.choice((0, 0, 0.01)) for _ in self.prefixes]
        self.seed, self.temperature = seed, float(seed % 2)  # every other call samples
        self.requests = [
            JudgeRequest(prompt=f"{seed} is {'even ' * count}?", max_tokens=random.randrange(1, 9))
            for count in range(random.randrange(1, 4))
        ]

    def run(
        self, engine: Engine, budget: Budget, meet: threading.Barrier | None = None
    ) -> tuple[list[Completion], list[str]]:
        sequence, judge = engine.sequence(budget), SelfJudge(engine, budget)
        answers: list[Completion] = []
        replies: list[str] = []
        for number, prefix in enumerate(self.prefixes):
            time.sleep(self.pauses[number])
            answer = complete(
                sequence, self.prompt, prefix,
                limits=AnswerLimits(max_tokens=self.lengths[number]),
                sampler=Sampler(self.temperature, self.seed, number),
                stage="refine", on_token=meeting(meet if number == 0 else None),
            )  # fmt: skip
            answers.append(answer)
            replies += judge.ask(self.requests)
        return answers, replies


Ran = tuple[list[Completion], list[str], dict[str, int]]
"""Answers, a judge's replies, and forwarded tokens by stage."""


def run_alone(engine: Engine, works: Sequence[Work]) -> list[Ran]:
    """Do one piece of work after the other."""
    budgets = [Budget() for _ in works]
    ran = [work.run(engine, budget) for work, budget in zip(works, budgets, strict=True)]
    return [(*one, budget.token_counts()) for one, budget in zip(ran, budgets, strict=True)]


def run_together(engine: Engine, works: Sequence[Work]) -> list[Ran]:
    """Do all at once: each waits for the others at its first token."""
    budgets, meet = [Budget() for _ in works], threading.Barrier(len(works))
    pairs = zip(works, budgets, strict=True)
    futures = at_once([lambda w=work, b=budget: w.run(engine, b, meet) for work, budget in pairs])
    return [
        (*future.result(), budget.token_counts())
        for future, budget in zip(futures, budgets, strict=True)
    ]


def meeting(
    meet: threading.Barrier | None, on_token: Callable[[int], None] = lambda _: None
) -> Callable[[int], None]:
    """Let calls wait for one another at their first token, so that they do run together."""
    met = meet is None

    def told(token: int) -> None:
        nonlocal met
        if meet is not None and not met:
            met = True
            meet.wait(SECONDS)
        on_token(token)

    return told


def at_once(works: Sequence[Callable[[], Any]]) -> list[Future[Any]]:
    """Do each piece of work in a thread of its own."""
    with ThreadPoolExecutor(len(works)) as threads:
        return [threads.submit(work) for work in works]
