"""How a call's cost grows with the answer's length and with the steps, as figures."""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dev.bench.parts import ours
from dev.bench.plan import Bench, Plan
from latent_agent.errors import SettingError

LENGTHS = (64, 128, 256, 512, 1024, 2048)
STEPS = (1, 2, 5, 10, 20, 50)

Report = Callable[[str, int, int], None]
Point = Mapping[str, float]


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
    points: list[Point] = []
    for at, one in enumerate(plans):
        report("sweeping", at, len(plans))
        points.append(_measure(bench, one))
    by_length, by_steps = points[: len(lengths)], points[len(lengths) :]
    return {
        "shape": plan.shape,
        "parameters": bench.parameters(),
        "prompt_tokens": plan.prompt_tokens,
        "seed": plan.seed,
        "by_length": by_length,
        "by_steps": by_steps,
        "exponent_by_length": exponent(by_length),
        "exponent_by_steps": exponent(by_steps),
        "line_by_length": straight(by_length),
        "line_by_steps": straight(by_steps),
    }


def _measure(bench: Bench, plan: Plan) -> Point:
    part = ours(bench.planned(plan), ())
    config: Any = bench.model.config.get_text_config()
    began, worked = time.perf_counter(), time.process_time()
    done = part()
    return {
        "answer_tokens": plan.answer_tokens,
        "iterations": plan.iterations,
        "seconds": time.perf_counter() - began,
        "cpu_seconds": time.process_time() - worked,
        "forwarded_tokens": done.forwarded,
        "attention_share": attention_share(plan, config, bench.parameters()),
    }


def exponent(points: Sequence[Point]) -> float:
    """Return by which power of the forwarded tokens the processor's seconds grow; 1 is linear.

    The slope of a straight line through the logarithms of both, by least squares.
    """
    tokens = [math.log(point["forwarded_tokens"]) for point in points]
    seconds = [math.log(point["cpu_seconds"]) for point in points]
    return statistics.linear_regression(tokens, seconds).slope


def straight(points: Sequence[Point]) -> dict[str, float]:
    """Fit a straight line of the processor's seconds on the forwarded tokens, by least squares.

    Returns:
        ``ms_per_token`` and ``fixed_seconds``, the line; ``farthest``, the largest distance of a
        point from it, as a share of the largest value; ``late_over_early``, what a token more
        costs between the last two points over what it costs between the first two.
    """
    tokens = [point["forwarded_tokens"] for point in points]
    seconds = [point["cpu_seconds"] for point in points]
    slope, fixed = statistics.linear_regression(tokens, seconds)
    gaps = [abs(y - fixed - slope * x) for x, y in zip(tokens, seconds, strict=True)]
    return {
        "ms_per_token": 1000 * slope,
        "fixed_seconds": fixed,
        "farthest": max(gaps) / max(seconds),
        "late_over_early": _marginal(points[-2:]) / _marginal(points[:2]),
    }


def _marginal(pair: Sequence[Point]) -> float:
    less, more = pair
    tokens = more["forwarded_tokens"] - less["forwarded_tokens"]
    return (more["cpu_seconds"] - less["cpu_seconds"]) / tokens


def attention_share(plan: Plan, config: Any, parameters: int) -> float:
    """Return attention's share of the multiplications of an answer's tokens, on average.

    Attention reads all columns before a token, so that it alone grows as the square of the length.
    All weights multiply once a token: those of the embeddings as the head's.
    """
    wide: int = config.num_attention_heads * (config.hidden_size // config.num_attention_heads)
    columns = plan.prompt_tokens + plan.answer_tokens / 2
    attention = 2 * config.num_hidden_layers * wide * columns
    return attention / (attention + parameters)
