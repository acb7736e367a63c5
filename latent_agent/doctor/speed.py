"""How fast a model answers here, and what would make it faster."""

import os
import time
from collections.abc import Iterator

from latent_agent.doctor.finding import Finding
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.cores import cores
from latent_agent.model.engine import AnswerLimits, Engine, Writing
from latent_agent.model.options import LoadOptions
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import SharedModel, open_model

_ASKED = "Count from one to fifty, in words."
_TOKENS = 32
_LARGE = 64_000_000  # bytes of weights, from which on it matters what computes them


def look_at_speed(model: str, options: LoadOptions) -> Iterator[Finding]:
    """Load a model, write a short answer and measure it."""
    shared = open_model(model, None, options)
    engine = shared.engine()
    parts = [engine.name, shared.precision, f"{engine.threads} of {cores()} cores"]
    rate = _tokens_a_second(shared, engine)
    measured = "too short an answer to measure" if rate is None else f"{rate:.1f} tokens a second"
    yield Finding(
        about="speed",
        state="ok",
        text=f"{', '.join(filter(None, parts))}: {measured}",
        remedy="; ".join(_faster(shared, engine, options)),
    )


def _tokens_a_second(shared: SharedModel, engine: Engine) -> float | None:
    """Write one answer; the prompt and the first token do not count."""
    made: list[float] = []
    writing = Writing(
        prompt=encode_chat(shared.tokenizer, [Turn("user", _ASKED)]),
        limits=AnswerLimits(max_tokens=_TOKENS),
        latents=False,
        on_token=lambda _: made.append(time.perf_counter()),
    )
    engine.sequence(Budget()).write([writing], "draft")
    return None if len(made) < 3 else (len(made) - 1) / (made[-1] - made[0])


def _faster(shared: SharedModel, engine: Engine, options: LoadOptions) -> Iterator[str]:
    if (shared.size or 0) < _LARGE or engine.device.type != "cpu":
        return
    if engine.name == "transformers":
        yield (
            "faster on a CPU: the model as a GGUF file, run by llama.cpp "
            '(pip install "latent-agent[llama-cpp]")'
        )
    if options.threads is not None and options.threads < cores():
        yield f"faster where no other program computes: --threads {cores()}"
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # not of every system
    if busy > cores() + 1:
        yield (
            f"other programs are busy on these cores (load {busy:.1f}): stop them, or give "
            "--threads fewer"
        )
