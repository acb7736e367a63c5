"""One call's stages: a call with a memory, as it is made day by day, and where its time goes."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from dev.bench.plan import Bench, Plan
from dev.bench.sampled import sampled, shares
from latent_agent.call.agent import LatentAgent
from latent_agent.call.outcome import Outcome
from latent_agent.recall.memory_adapter import TraceMemory
from latent_memory import LatentMemory

Report = Callable[[str, int, int], None]


def profile(plan: Plan, repeats: int, report: Report) -> dict[str, Any]:
    """Make the plan's calls, with a memory that they fill, and book their time to stages.

    Each round begins with a namespace of its own, where nothing is remembered; before the first
    one, a round that is not counted warms up.
    """
    spent: dict[str, float] = {}
    outcomes: list[Outcome] = []
    with Bench(plan) as bench:
        folder = bench.opened.enter_context(TemporaryDirectory(prefix="latent-agent-bench-"))
        memory = bench.opened.enter_context(LatentMemory(Path(folder) / "memory.sqlite3"))
        _round(bench, memory, "warming up")
        for number in range(repeats):
            report("measuring", number, repeats)
            with sampled(spent):
                outcomes += _round(bench, memory, f"round {number}")
        calls = len(outcomes)
        return {
            "shape": plan.shape,
            "model": plan.model,
            "parameters": bench.parameters(),
            "threads": torch.get_num_threads(),
            "calls": calls,
            "steps": sum(outcome.iterations for outcome in outcomes) / calls,
            "forwarded_tokens": sum(sum(outcome.forwarded_tokens.values()) for outcome in outcomes)
            / calls,
            "cpu_seconds": sum(spent.values()) / calls,
            "seed": plan.seed,
            "stages": shares(spent, calls),
        }


def _round(bench: Bench, memory: LatentMemory, namespace: str) -> list[Outcome]:
    reward = bench.plan.reward()
    traces = TraceMemory(memory, namespace, reward.id, "read-write")
    agent = LatentAgent(bench.shared, bench.settings, reward, traces)
    return [agent.answer([turn]) for turn in bench.turns]
