"""The format of an export: a folder with JSON Lines and safetensors.

``traces.jsonl`` holds one line a trace, and a last line with their number, by which a torn file is
noticed. The arrays lie in ``latents-0001.safetensors`` and so on, up to 1,000 traces each, under
``<id>.embedding`` (float32), ``<id>.base`` (float16, as it is stored) and ``<id>.optimised``
(float32).
"""

from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from latent_memory.trace import Arrays, Shelf, StoredTrace, Trace, by_round
from latent_memory.trace_rows import names
from latent_memory.transfer.ratings import CopyLine, FeedbackLine

LINES = "traces.jsonl"
SHARD = 1000  # traces a file of arrays
DTYPES = ("F16", "F32")  # of arrays, as safetensors names them

Whole = Annotated[int, Field(ge=0, lt=2**63)]
Reward = Annotated[float, Field(ge=-1, le=0)]


def _rounds(rewards: Any) -> Any:
    return by_round(rewards) if isinstance(rewards, list | tuple) else rewards


_COPIED = (
    *("query", "answer", "tokens", "score", "rewards", "steps", "stopped", "neighbours", "prior"),
    *("conversation", "settings"),
)


class TraceLine(BaseModel):
    """One trace, without its arrays."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    id: Whole
    shard: Annotated[int, Field(ge=1, lt=10**6)]
    created: Annotated[AwareDatetime, Field(strict=False)]
    namespace: str
    fingerprint: str
    reward: str
    query: str | None
    answer: str | None
    tokens: Annotated[tuple[Whole, ...], Field(strict=False)]
    score: Reward
    rewards: Annotated[
        tuple[Annotated[tuple[Reward, ...], Field(strict=False)], ...],
        Field(strict=False),
        BeforeValidator(_rounds),
    ]
    steps: Whole
    stopped: str
    neighbours: Annotated[tuple[Whole, ...], Field(strict=False)]
    prior: str | None
    conversation: str | None = None  # these two: not in exports from before revision 0006
    settings: str | None = None
    feedback: Annotated[tuple[FeedbackLine, ...], Field(strict=False)] = ()  # these two: not in
    copy_of: CopyLine | None = None  # exports from before revision 0007


class LastLine(BaseModel):
    """The end of a whole file."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    traces: Whole


def shard_name(shard: int) -> str:
    """Return the name of a file of arrays, counted from 1."""
    return f"latents-{shard:04d}.safetensors"


def to_line(stored: StoredTrace, shard: int, said: Mapping[str, Any]) -> TraceLine:
    """Return a trace's line, with what it says of feedback."""
    trace = stored.trace
    return TraceLine(
        id=stored.id,
        shard=shard,
        created=stored.created,
        **names(trace.shelf),
        **{name: getattr(trace, name) for name in _COPIED},
        **said,
    )


def to_arrays(stored: StoredTrace) -> Arrays:
    """Return a trace's arrays under their names."""
    trace = stored.trace
    return {
        f"{stored.id}.embedding": trace.embedding,
        f"{stored.id}.base": trace.base.astype(np.float16),
        f"{stored.id}.optimised": trace.optimised,
    }


def to_trace(line: TraceLine, arrays: Arrays) -> Trace:
    """Return the trace of a line and its three arrays, which are not checked yet."""
    shelf = Shelf(namespace=line.namespace, fingerprint=line.fingerprint, reward=line.reward)
    return Trace(
        shelf=shelf,
        embedding=arrays["embedding"],
        base=arrays["base"],
        optimised=arrays["optimised"],
        **{name: getattr(line, name) for name in _COPIED},
    )
