"""The rounds of a stored search, with the names that a person knows them by."""

from collections.abc import Iterator
from itertools import groupby

from latent_memory import Trace


def rounds(trace: Trace) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Name the rounds of a search with their rewards; equal rounds in a row are one."""
    starts = len(trace.rewards) - trace.steps
    for at, rewards in enumerate(trace.rewards[: max(starts, 0)]):
        yield _start(trace, at, starts), rewards
    first = 1
    for rewards, same in groupby(trace.rewards[max(starts, 0) :]):
        last = first + len(list(same)) - 1
        yield (f"step {first}" if first == last else f"steps {first}-{last}"), rewards
        first = last + 1


def _start(trace: Trace, at: int, starts: int) -> str:
    """Name a start: the draft comes last, and not at all where a warm start passed."""
    warm = trace.prior is not None or trace.neighbours
    if at == starts - 1 and (trace.steps or not warm):
        return "draft"
    return f"start {at + 1}"
