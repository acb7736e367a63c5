"""Engines as tests open them, and answers written by one in a line."""

from collections.abc import Callable, Sequence

from latent_agent.model.budget import Stage
from latent_agent.model.engine import AnswerLimits, Completion, TokenSequence, Writing
from latent_agent.model.registry import SharedModel, open_model
from latent_agent.model.sampling import Sampler
from latent_agent.model.transformers_engine.engine import TransformersEngine


def transformers_engine(model: SharedModel | str = "bundled") -> TransformersEngine:
    """Return a loaded model's engine."""
    shared = open_model(model) if isinstance(model, str) else model
    engine = shared.engine()
    assert isinstance(engine, TransformersEngine)
    return engine


def complete(
    sequence: TokenSequence,
    prompt: Sequence[int],
    prefix: Sequence[int],
    *,
    limits: AnswerLimits,
    sampler: Sampler,
    stage: Stage,
    on_token: Callable[[int], None] | None = None,
) -> Completion:
    """Continue ``prompt + prefix`` to the end of the answer."""
    row = Writing(prompt=prompt, prefix=prefix, limits=limits, sampler=sampler, on_token=on_token)
    return sequence.write([row], stage)[0]
