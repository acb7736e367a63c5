"""Days of training questions with a night after each: the memory and prior that methods read."""

import json
import random
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from latent_agent.errors import PriorError
from latent_agent.evaluation.bench import NAMESPACE, Bench, Remembered
from latent_agent.evaluation.items import Item
from latent_agent.nights.job import NightJob, NightSettings
from latent_agent.nights.night import consolidate
from latent_agent.nights.watch import Watch
from latent_agent.recall.memory_adapter import TraceMemory
from latent_memory import LatentMemory, Shelf, Trace
from latent_memory.priors.priors import active_prior

_MEMORY, _SHUFFLED, _MISLED = "memory.sqlite3", "shuffled.sqlite3", "misled.sqlite3"
_REPORT = "prepared.json"


def prepare(
    bench: Bench,
    days: Sequence[Sequence[Item]],
    folder: Path,
    watch: Watch,
    night: NightSettings,
) -> Remembered:
    """Live through the days and nights, unless that was done before.

    Args:
        bench: Model, settings and judge.
        days: The questions of each day.
        folder: Where the memories lie. What a kill left half done starts over.
        watch: Follows the work.
        night: How nights are run; its seed is that of the shuffles, too.
    """
    if not (folder / _REPORT).is_file():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        report = _live(bench, days, unfinished, watch, night)
        (unfinished / _REPORT).write_text(json.dumps(report, indent=1), "utf-8")
        unfinished.rename(folder)
    return Remembered(
        memory=LatentMemory(folder / _MEMORY),
        shuffled=LatentMemory(folder / _SHUFFLED),
        misled=LatentMemory(folder / _MISLED),
        report=json.loads((folder / _REPORT).read_text("utf-8")),
    )


def _live(
    bench: Bench,
    days: Sequence[Sequence[Item]],
    folder: Path,
    watch: Watch,
    night: NightSettings,
) -> dict[str, Any]:
    lived: list[dict[str, Any]] = []
    with LatentMemory(folder / _MEMORY) as memory:
        nights: list[dict[str, Any]] = []
        for number, items in enumerate(days, 1):
            lived.append({"questions": _day(bench, memory, items, f"day {number}", watch)})
            nights.append(_night(bench, memory, watch, night))
            lived[-1]["night"] = nights[-1]
        shelf = _shelf(memory)
        traces = [] if shelf is None else [stored.trace for stored in memory.stream(shelf)]
        prior = _prior(memory, shelf, nights)
    with LatentMemory(folder / _SHUFFLED) as shuffled:
        shuffled.add_many(_under_other_questions(traces, night.seed or 0))
    with LatentMemory(folder / _MISLED) as misled:
        misled.add_many(_with_other_winners(traces, night.seed or 0))
        # It is read whatever a gate would say of it, so that none is asked.
        unasked = replace(night, gate=replace(night.gate, calls=0))
        misled_night = _night(bench, misled, watch, unasked)
        misled_prior = _prior(misled, _shelf(misled), [misled_night])
    return {
        "reward": bench.reward.id,
        "traces": len(traces),
        "prior": prior,
        "misled_prior": misled_prior,
        "misled_night": misled_night,
        "days": lived,
    }


def _day(
    bench: Bench, memory: LatentMemory, items: Sequence[Item], name: str, watch: Watch
) -> list[dict[str, Any]]:
    """Answer a day's questions as the product does; return their outcomes."""
    live = TraceMemory(memory, NAMESPACE, bench.reward.id, "read-write")
    rows: list[dict[str, Any]] = []
    for number, item in enumerate(items, 1):
        outcome = bench.search(item, live).outcome
        rows.append(
            {
                "item": item.key,
                "family": item.family,
                "steps": outcome.iterations,
                "source": outcome.source,
                "stopped": outcome.stopped,
                "right": bench.checker.is_right(item, outcome.text),
                "forwarded": sum(outcome.forwarded_tokens.values()),
            }
        )
        watch.tick(name, number, len(items), rows[-1]["forwarded"])
    return rows


def _night(
    bench: Bench, memory: LatentMemory, watch: Watch, night: NightSettings
) -> dict[str, Any]:
    """Run a night; traces that teach nothing are reported, and end nothing."""
    shelf = _shelf(memory)
    if shelf is None:
        return {"verdict": "failed", "reason": "no trace was left", "version": None}
    job = NightJob(
        memory=memory,
        model=bench.model,
        shelf=shelf,
        reward=bench.reward,
        search=bench.settings,
        settings=night,
        watch=watch,
    )
    try:
        done = asdict(consolidate(job))
    except PriorError as failure:
        return {"verdict": "failed", "reason": str(failure), "version": None}
    return {name: done[name] for name in ("verdict", "reason", "version", "figures")}


def _shelf(memory: LatentMemory) -> Shelf | None:
    shelves = memory.shelves()
    return shelves[0].shelf if shelves else None


def _prior(
    memory: LatentMemory, shelf: Shelf | None, nights: Sequence[dict[str, Any]]
) -> str | None:
    """Return the active prior; where the gate let none pass, the last that was trained."""
    known = None if shelf is None else active_prior(memory.database, shelf)
    if known is not None:
        return str(known.version)
    versions = [night["version"] for night in nights if night["version"] is not None]
    return str(versions[-1]) if versions else None


def _others(traces: Sequence[Trace], seed: int) -> list[Trace]:
    """Return the traces in an order where none is at its own place, if there are two or more."""
    order = list(traces)
    random.Random(f"shuffle-{seed}").shuffle(order)
    places = {id(trace): number for number, trace in enumerate(order)}
    # Each trace's successor in one random cycle.
    return [order[(places[id(trace)] + 1) % len(order)] for trace in traces]


def _under_other_questions(traces: Sequence[Trace], seed: int) -> Iterator[Trace]:
    for trace, other in zip(traces, _others(traces, seed), strict=True):
        yield replace(
            trace, embedding=other.embedding, query=other.query, neighbours=(), prior=None
        )


def _with_other_winners(traces: Sequence[Trace], seed: int) -> Iterator[Trace]:
    for trace, other in zip(traces, _others(traces, seed), strict=True):
        common = min(len(trace.base), len(other.optimised))
        yield replace(
            trace,
            base=trace.base[:common],
            optimised=other.optimised[:common],
            tokens=other.tokens[:common],
            neighbours=(),
            prior=None,
        )
