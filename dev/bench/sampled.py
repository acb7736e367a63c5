"""Where a thread's time goes, by looking at its stack now and then; the work itself is untouched.

Each look books the processor's time since the look before to the stage that the stack shows. What
other programs do meanwhile costs seconds, but no processor time of this process.
"""

import inspect
import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

from latent_agent.call.writer import Writer
from latent_agent.model.engine import Engine
from latent_agent.model.transformers_engine.kv_sequence import CachedSequence, PaddedRows
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.reward.self_judge import SelfJudge
from latent_agent.search.adam import Adam
from latent_agent.search.policy_gradient import policy_gradient

_EVERY = 0.002  # seconds between two looks

REST = "the rest"
STAGES: Sequence[tuple[str, Sequence[Any]]] = (
    ("judge: prompts", (SelfJudge.ask, CachedSequence.hold)),
    ("judge: prompts", (SelfJudge.ask, PaddedRows.read)),
    ("judge: verdicts", (SelfJudge.ask,)),
    ("prompt", (CachedSequence.embed,)),
    ("prompt", (Writer.starts, CachedSequence.hold)),
    ("write to memory", (TraceMemory.remember,)),
    ("draft", (Writer.starts,)),
    ("draft", (Writer.opening,)),
    ("recall", (TraceMemory.recall,)),
    ("gradient", (policy_gradient,)),
    ("gradient", (Adam.ascend,)),
    ("latents to tokens", (Engine.decode,)),
    ("changed prefix", (Writer.continue_all, CachedSequence.hold)),
    ("tail after it", (Writer.continue_all,)),
)
"""Stages, and the functions that must all be at work; the first that fits counts."""

ORDER = (
    "prompt", "draft", "recall", "gradient", "latents to tokens", "changed prefix",
    "tail after it", "judge: prompts", "judge: verdicts", "write to memory", REST,
)  # fmt: skip
"""The stages as a call meets them."""


def _code(work: Any) -> CodeType:
    return inspect.unwrap(work).__code__


_RULES = [(stage, {_code(work) for work in works}) for stage, works in STAGES]


def stage_of(frame: FrameType | None) -> str:
    """Return which stage a stack is in."""
    at_work: set[object] = set()
    while frame is not None:
        at_work.add(frame.f_code)
        frame = frame.f_back
    return next((stage for stage, codes in _RULES if codes <= at_work), REST)


@contextmanager
def sampled(spent: dict[str, float]) -> Generator[None]:
    """Book the processor seconds of what this thread does to stages, until this is left."""
    watched, done = threading.get_ident(), threading.Event()

    def look() -> None:
        before = time.process_time()
        while not done.wait(_EVERY):
            frames = sys._current_frames()  # pyright: ignore[reportPrivateUsage]
            stage = stage_of(frames.get(watched))
            now = time.process_time()
            spent[stage] = spent.get(stage, 0.0) + now - before
            before = now

    watcher = threading.Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def shares(spent: Mapping[str, float], calls: int) -> list[dict[str, float | str]]:
    """Return each stage's processor seconds a call, and its share, in the order of a call."""
    total = sum(spent.values()) or 1.0
    return [
        {
            "stage": stage,
            "cpu_seconds": spent.get(stage, 0.0) / calls,
            "share": spent.get(stage, 0.0) / total,
        }
        for stage in ORDER
    ]
