"""Parts side by side: in turn, several times over, as medians, spreads and ratios of one run."""

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from dev.bench.plan import Plan
from dev.bench.workers import Loaded, Run, Worker, load

RATIOS = (("reference", "ours"), ("ours", "floor"), ("ours", "generate"), ("warm", "generate"))

Report = Callable[[str, int, int], None]
Runs = Mapping[str, Sequence[Run]]


def compare(plan: Plan, parts: Sequence[str], repeats: int, report: Report) -> dict[str, Any]:
    """Measure parts in turn, so that what else the machine does meets all of them alike."""
    loaded = load(plan, recorded=parts != ("reference",))
    runs: dict[str, list[Run]] = {name: [] for name in parts}
    with ExitStack() as stack:
        workers = {name: stack.enter_context(Worker(name, plan, loaded.records)) for name in parts}
        for name, worker in workers.items():
            report("loading", list(workers).index(name), len(workers))
            worker.result()
        for number in range(repeats):
            for at, (name, worker) in enumerate(workers.items()):
                report("measuring", number * len(workers) + at, repeats * len(workers))
                runs[name].append(worker.run())
    return {**_setting(plan, loaded), "repeats": repeats, **figures(runs)}


def figures(runs: Runs) -> dict[str, Any]:
    """Return each part's figures, and the ratios between them."""
    answers = {name: ran[0].answers for name, ran in runs.items() if name in ("reference", "ours")}
    return {
        "load_average": list(os.getloadavg()) if hasattr(os, "getloadavg") else None,
        "parts": {name: _part(ran) for name, ran in runs.items()},
        "ratios": {
            f"{above} / {below}": _ratio(runs[above], runs[below])
            for above, below in RATIOS
            if above in runs and below in runs
        },
        "same_answers": len(set(answers.values())) == 1 if len(answers) == 2 else None,
    }


def _part(ran: Sequence[Run]) -> dict[str, Any]:
    return {
        "seconds": _spread([run.seconds for run in ran]),
        "cpu_seconds": _spread([run.cpu_seconds for run in ran]),
        "forwarded_tokens": ran[-1].forwarded,
        "peak_bytes": max(run.peak_bytes for run in ran),
    }


def _ratio(above: Sequence[Run], below: Sequence[Run]) -> dict[str, Any]:
    """Compare run with run, each pair made one after the other."""
    pairs = list(zip(above, below, strict=True))
    peaks = [max(run.peak_bytes for run in ran) for ran in (above, below)]
    return {
        "seconds": _spread([a.seconds / b.seconds for a, b in pairs]),
        "cpu_seconds": _spread([a.cpu_seconds / b.cpu_seconds for a, b in pairs]),
        "forwarded_tokens": above[-1].forwarded / below[-1].forwarded,
        "peak_bytes": peaks[0] / peaks[1],
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
    }


def _setting(plan: Plan, loaded: Loaded) -> dict[str, Any]:
    records = loaded.records
    return {
        "shape": plan.shape,
        "model": plan.model,
        "parameters": loaded.parameters,
        "vocabulary": loaded.vocabulary,
        "hidden_size": loaded.hidden_size,
        "device": loaded.device,
        "threads": loaded.threads,
        "verdict": plan.verdict,
        "questions": len(records) or plan.questions,
        "iterations": plan.iterations,
        "prompt_tokens": _mean([len(work.prompt) for work in records]),
        "answer_tokens": _mean([len(work.answer) for work in records]),
        "prefix_tokens": _mean(
            [plan.settings().prefix_length(len(work.answer)) for work in records]
        ),
        "steps": _mean([work.steps for work in records]),
        "changed": _mean([len(work.prefixes) for work in records]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
