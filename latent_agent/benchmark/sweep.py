"""How a call's cost grows with the answer's length and with the steps: a plot, and two slopes."""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from latent_agent.benchmark.parts import ours
from latent_agent.benchmark.plan import Bench, Plan
from latent_agent.errors import SettingError

LENGTHS = (64, 128, 256, 512, 1024, 2048)
STEPS = (1, 2, 5, 10, 20, 50)

Report = Callable[[str, int, int], None]


def sweep(
    plan: Plan,
    report: Report,
    lengths: Sequence[int] = LENGTHS,
    steps: Sequence[int] = STEPS,
) -> dict[str, Any]:
    """Measure one call at each answer length, and at each number of steps.

    The lengths are measured with the plan's number of steps, the steps at the shortest length.

    Raises:
        SettingError: If the plan names no shape: a real model's lengths cannot be forced.
    """
    if not plan.forced:
        raise SettingError(
            f"--sweep needs forced lengths, got the model {plan.model!r}; give --shape instead"
        )
    bench = Bench(plan)
    plans = [replace(plan, answer_tokens=length) for length in lengths]
    plans += [replace(plan, answer_tokens=min(lengths), iterations=number) for number in steps]
    points: list[dict[str, float]] = []
    for at, one in enumerate(plans):
        report("sweeping", at, len(plans))
        points.append(_measure(bench, one))
    by_length, by_steps = points[: len(lengths)], points[len(lengths) :]
    return {
        "shape": plan.shape,
        "parameters": bench.parameters(),
        "by_length": by_length,
        "by_steps": by_steps,
        "exponent_by_length": exponent(by_length),
        "exponent_by_steps": exponent(by_steps),
    }


def _measure(bench: Bench, plan: Plan) -> dict[str, float]:
    part = ours(bench.planned(plan), ())
    began, worked = time.perf_counter(), time.process_time()
    done = part()
    return {
        "answer_tokens": plan.answer_tokens,
        "iterations": plan.iterations,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - worked,
        "forwarded_tokens": done.forwarded,
    }


def exponent(points: Sequence[dict[str, float]]) -> float:
    """Return by which power of the forwarded tokens the processor's seconds grow; 1 is linear.

    The slope of a straight line through the logarithms of both, by least squares.
    """
    tokens = [math.log(point["forwarded_tokens"]) for point in points]
    seconds = [math.log(point["cpu_seconds"]) for point in points]
    middle = sum(tokens) / len(tokens)
    above = sum((x - middle) * y for x, y in zip(tokens, seconds, strict=True))
    return above / sum((x - middle) ** 2 for x in tokens)


def draw(found: dict[str, Any], picture: Path) -> None:
    """Plot the seconds against the answer's length and against the steps, into a PNG.

    Raises:
        SettingError: If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SettingError(
            "--sweep draws with matplotlib, which is not installed; "
            "pip install 'latent-agent[plot]', or give --json alone"
        ) from error
    figure: Any = Figure(figsize=(9, 3.6), layout="constrained")
    for axes, points, across, label in (
        (figure.add_subplot(1, 2, 1), found["by_length"], "answer_tokens", "answer tokens (T)"),
        (figure.add_subplot(1, 2, 2), found["by_steps"], "iterations", "gradient steps (K)"),
    ):
        _draw(axes, points, across, label)
    figure.suptitle(f"One call, shape {found['shape']}, every step changes the prefix")
    figure.savefig(picture, dpi=150)


def _draw(axes: Any, points: Sequence[dict[str, float]], across: str, label: str) -> None:
    at = [point[across] for point in points]
    axes.plot(at, [point["cpu_seconds"] for point in points], "o-", label="processor seconds")
    axes.set_xlabel(label)
    axes.set_ylabel("processor seconds")
    axes.set_ylim(bottom=0)
    tokens = axes.twinx()
    forwarded = [point["forwarded_tokens"] for point in points]
    tokens.plot(at, forwarded, "s--", color="tab:gray", label="forwarded tokens")
    tokens.set_ylabel("forwarded tokens")
    tokens.set_ylim(bottom=0)
    lines = axes.get_lines() + tokens.get_lines()
    axes.legend(lines, [line.get_label() for line in lines], loc="upper left")
