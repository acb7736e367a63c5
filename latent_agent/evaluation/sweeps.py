"""What becomes of a method as one setting of its own is varied: rows and pictures."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from latent_agent.evaluation.tables import share_interval

HEADINGS = ("Setting", "Value", "Method", "Right [95%]", "Forwarded tokens", "Steps", "At once")
Figures = Mapping[str, Any]
Lines = Mapping[str, Sequence[tuple[str, Figures]]]
"""By method: values as they are written, with the figures at each."""


def swept_settings(group: Mapping[str, Figures]) -> dict[str, dict[str, list[tuple[str, Figures]]]]:
    """Return each setting that methods vary alone, with its lines; numbers in order.

    Args:
        group: Figures by method, as a summary holds them.
    """
    found: dict[str, dict[str, list[tuple[str, Figures]]]] = {}
    for name, figures in group.items():
        method, *given = name.split(":")
        if len(given) == 1:
            setting, _, value = given[0].partition("=")
            found.setdefault(setting, {}).setdefault(method, []).append((value, figures))
    return {
        setting: {method: in_order(points) for method, points in lines.items()}
        for setting, lines in found.items()
    }


def in_order(points: Sequence[tuple[str, Figures]]) -> list[tuple[str, Figures]]:
    """Sort points by their values where all are numbers."""
    if all(_number(value) is not None for value, _ in points):
        return sorted(points, key=lambda point: float(point[0]))
    return list(points)


def sweep_rows(settings: Mapping[str, Lines]) -> list[list[str]]:
    """Return one row a setting, value and method, under `HEADINGS`."""
    return [
        [
            setting,
            value,
            method,
            share_interval(figures["accuracy"]),
            f"{figures['forwarded']['mean']:.0f}",
            f"{figures['steps']['mean']:.2f}",
            f"{figures['at_once']:.0%}",
        ]
        for setting, lines in settings.items()
        for method, points in lines.items()
        for value, figures in points
    ]


def draw(settings: Mapping[str, Lines]) -> bytes | None:
    """Draw one picture: a panel a setting, with accuracy, its intervals and its cost."""
    if not settings:
        return None
    columns = min(2, len(settings))
    rows = -(-len(settings) // columns)
    figure = Figure(figsize=(6.4 * columns, 4.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (setting, lines) in enumerate(settings.items(), 1):
        _panel(figure.add_subplot(rows, columns, number), setting, lines)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def _panel(axes: Any, setting: str, lines: Lines) -> None:
    values = list(dict.fromkeys(value for points in lines.values() for value, _ in points))
    places = _places(values)
    cost = axes.twinx()
    for number, (method, points) in enumerate(lines.items()):
        at = [places[value] for value, _ in points]
        right = [figures["accuracy"] for _, figures in points]
        means = [one["mean"] for one in right]
        bars = [
            [one["mean"] - one["low"] for one in right],
            [one["high"] - one["mean"] for one in right],
        ]
        looks = {"color": f"C{number % 10}", "marker": "osD^vP*X"[number % 8], "markersize": 4}
        axes.errorbar(at, means, yerr=bars, capsize=3, label=method, **looks)
        tokens = [figures["forwarded"]["mean"] for _, figures in points]
        cost.plot(at, tokens, color=looks["color"], alpha=0.4, linestyle=":")
    _scale(axes, values, places)
    axes.set_ylim(-0.02, 1.02)
    cost.set_ylim(bottom=0)
    cost.set_ylabel("Mean forwarded tokens (dotted)")
    axes.spines[["top"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_title(f"Sensitivity to {setting}", loc="left")
    axes.set_xlabel(setting)
    axes.set_ylabel("Share right")
    axes.legend(fontsize="x-small", frameon=False, loc="lower right")


def _places(values: Sequence[str]) -> dict[str, float]:
    """Return where values stand on the axis: numbers at themselves, words side by side."""
    numbers = [_number(value) for value in values]
    return {
        value: float(place) if number is None or None in numbers else number
        for place, (value, number) in enumerate(zip(values, numbers, strict=True))
    }


def _scale(axes: Any, values: Sequence[str], places: Mapping[str, float]) -> None:
    if any(_number(value) is None for value in values):
        axes.set_xticks(list(places.values()), list(places))
        return
    low, high = min(places.values()), max(places.values())
    if low > 0 and high > 20 * low:
        axes.set_xscale("log")


def _number(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
