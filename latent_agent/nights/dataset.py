"""Stored traces as batches to learn from, in memory that does not grow with their number."""

import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Literal, TypeVar, get_args

import numpy as np
import torch

from latent_agent.recall.prior_network import HIDDEN, PriorShape
from latent_agent.settings import MAX_PREFIX
from latent_memory.trace import StoredTrace, Trace, Vector

Part = Literal["train", "validation", "gate"]
"""What a trace is for: gradient steps, the choice of the epoch, or the questions of the gate."""

PARTS: tuple[Part, ...] = get_args(Part)
GATE, VALIDATION = 0.2, 0.1
"""Shares of the traces; all others are trained on."""

Item = TypeVar("Item")
NO_TOKEN = -1
_SHUFFLED_BYTES = 64 << 20

Stream = Callable[[], Iterator[StoredTrace]]
"""Reads all traces from the start, oldest first."""


def part_of(stored: StoredTrace) -> Part:
    """Return what a trace is for; the same in every night.

    The question decides, where its text is stored, so that one asked twice lies in one part.
    """
    key = str(stored.id) if stored.trace.query is None else stored.trace.query
    place = zlib.crc32(key.encode("utf-8", "surrogatepass")) / 2**32
    if place < GATE:
        return "gate"
    return "validation" if place < GATE + VALIDATION else "train"


def usable(trace: Trace, vocabulary: int) -> bool:
    """Whether something can be learnt: finite arrays of one shape, and winning tokens.

    Tokens that the head does not know come with imports; on a GPU they would break the process.
    """
    arrays = (trace.embedding, trace.base, trace.optimised)
    return (
        len(trace.tokens) > 0
        and all(0 <= token < vocabulary for token in trace.tokens)
        and trace.base.shape == trace.optimised.shape
        and all(bool(np.isfinite(array).all()) for array in arrays)
    )


@dataclass(kw_only=True)
class Survey:
    """Counts and sizes of the traces, from a first reading.

    Attributes:
        parts: Usable traces by what they are for.
        skipped: Traces of no use: NaNs, no tokens, or tokens that the model does not have.
        weight: Sum of the training weights.
        centre: Mean embedding of the traces to train on, (e,).
        width: Of the latents (d).
        lengths: How many traces to train on have how many latents.
    """

    parts: Counter[Part] = field(default_factory=Counter[Part])
    skipped: int = 0
    weight: float = 0.0
    centre: Vector = field(default_factory=lambda: np.zeros(0, np.float32))
    width: int = 0
    lengths: Counter[int] = field(default_factory=Counter[int])

    def add(self, stored: StoredTrace, vocabulary: int) -> None:
        """Count one trace."""
        trace, part = stored.trace, part_of(stored)
        if not usable(trace, vocabulary):
            self.skipped += 1
            return
        self.parts[part] += 1
        if part != "train":
            return
        self.weight += weight(trace)
        self.width = trace.base.shape[1]
        self.lengths[min(len(trace.base), MAX_PREFIX)] += 1
        if not self.centre.size:
            self.centre = np.zeros_like(trace.embedding)
        self.centre += (trace.embedding - self.centre) / self.trained

    @property
    def trained(self) -> int:
        """Traces to train on."""
        return self.parts["train"]

    @property
    def validation(self) -> int:
        """Traces that choose the epoch."""
        return self.parts["validation"]

    @property
    def held_out(self) -> int:
        """Traces that no gradient step uses."""
        return self.validation + self.parts["gate"]

    def counts(self) -> dict[str, int]:
        """Return how many traces there are of each kind."""
        return {
            "trained": self.trained,
            "held_out": self.held_out,
            "for_gate": self.parts["gate"],
            "skipped": self.skipped,
        }

    def shape(self, hidden: int = HIDDEN) -> PriorShape:
        """Return the sizes of a prior for these traces; N is their median length."""
        lengths = sorted(self.lengths.elements())
        return PriorShape(
            positions=lengths[(len(lengths) - 1) // 2],
            width=self.width,
            embedding=len(self.centre),
            hidden=hidden,
        )


def survey(stream: Stream, vocabulary: int) -> Survey:
    """Read all traces once; ``vocabulary`` is how many tokens the model has."""
    result = Survey()
    for stored in stream():
        result.add(stored, vocabulary)
    return result


def weight(trace: Trace) -> float:
    """Weigh a trace by its reward: 1 for the best, 0 for the worst."""
    return 1.0 + trace.score


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Traces to learn from.

    Attributes:
        embedding: (B, e) float32.
        base: (B, N, d) float32; zero where an answer is shorter.
        optimised: (B, N, d) float32.
        tokens: Winning tokens, (B, N); `NO_TOKEN` where there is none.
        present: Which positions a trace has, (B, N).
        weight: (B,) float32.
    """

    embedding: torch.Tensor
    base: torch.Tensor
    optimised: torch.Tensor
    tokens: torch.Tensor
    present: torch.Tensor
    weight: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Move all tensors."""
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


def batches(
    stream: Stream,
    shape: PriorShape,
    size: int,
    *,
    vocabulary: int,
    part: Part,
    rng: Random | None = None,
    share: float = 1.0,
) -> Iterator[Batch]:
    """Read the traces once, in batches.

    Args:
        stream: The traces.
        shape: Sizes; longer traces are cut to its positions.
        size: Traces in a batch (B).
        vocabulary: How many tokens the model has; traces with others are left out.
        part: Which traces.
        rng: Shuffles as far as 64 MiB of traces allow; None: all of them, in order.
        share: Of the traces that are taken, at random.
    """
    chosen = (
        stored.trace
        for stored in stream()
        if usable(stored.trace, vocabulary) and part_of(stored) == part and weight(stored.trace) > 0
    )
    if rng is not None:
        chosen = (trace for trace in chosen if rng.random() < share)
        trace_bytes = 4 * (2 * shape.positions * shape.width + shape.embedding)
        chosen = shuffled(chosen, max(size, _SHUFFLED_BYTES // trace_bytes), rng)
    rows: list[Trace] = []
    for trace in chosen:
        rows.append(trace)
        if len(rows) == size:
            yield _batch(rows, shape.positions)
            rows = []
    if rows:
        yield _batch(rows, shape.positions)


def shuffled(items: Iterable[Item], size: int, rng: Random) -> Iterator[Item]:
    """Shuffle a stream through a buffer of ``size`` items."""
    held: list[Item] = []
    for item in items:
        if len(held) < size:
            held.append(item)
            continue
        place = rng.randrange(size)
        yield held[place]
        held[place] = item
    rng.shuffle(held)
    yield from held


def _batch(traces: list[Trace], positions: int) -> Batch:
    rows, width = len(traces), traces[0].base.shape[1]
    base = torch.zeros(rows, positions, width)
    optimised = torch.zeros(rows, positions, width)
    tokens = torch.full((rows, positions), NO_TOKEN)
    present = torch.zeros(rows, positions, dtype=torch.bool)
    for row, trace in enumerate(traces):
        length = min(len(trace.base), positions)
        base[row, :length] = torch.from_numpy(trace.base[:length])
        optimised[row, :length] = torch.from_numpy(trace.optimised[:length])
        known = trace.tokens[:length]
        tokens[row, : len(known)] = torch.tensor(known)
        present[row, :length] = True
    return Batch(
        embedding=torch.from_numpy(np.stack([trace.embedding for trace in traces])),
        base=base,
        optimised=optimised,
        tokens=tokens,
        present=present,
        weight=torch.tensor([weight(trace) for trace in traces]),
    )
