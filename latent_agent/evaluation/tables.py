"""The summary as rows of text, for terminal and pages alike; settings as methods vary them."""

from collections.abc import Mapping, Sequence
from typing import Any

HEADINGS = (
    "Method",
    "Right [95%]",
    "Forwarded tokens",
    "Steps",
    "Seconds",
    "At once",
    "Length",
    "Kept",
    "Fixed",
    "Failed",
)
AGAINST = (
    "Method",
    "LatentSeek ahead by [95%]",
    "p",
    "at equal cost by [95%]",
    "p",
    "Its steps less [95%]",
    "Its tokens less [95%]",
)

SENSITIVITY = ("Setting", "Value", "Method", "Right [95%]", "Forwarded tokens", "Steps", "At once")
Figures = Mapping[str, Any]
Section = tuple[str, Sequence[str], Sequence[Sequence[str]]]
"""A table: title, headings, rows."""
Lines = Mapping[str, Sequence[tuple[str, Figures]]]
"""By method: values as they are written, with the figures at each."""


def method_rows(group: Mapping[str, Any]) -> list[list[str]]:
    """Return one row a method, under `HEADINGS`."""
    return [
        [
            name,
            share_interval(figures["accuracy"]),
            f"{figures['forwarded']['mean']:.0f}",
            f"{figures['steps']['mean']:.2f}",
            f"{figures['seconds']:.2f}",
            f"{figures['at_once']:.0%}",
            "" if figures["length"] is None else f"{figures['length']:.2f}",
            _of(figures["kept"]),
            _of(figures["fixed"]),
            str(figures["failures"]),
        ]
        for name, figures in group.items()
    ]


def against_rows(group: Mapping[str, Any]) -> list[list[str]]:
    """Return how LatentSeek compares with each method, under `AGAINST`."""
    return [
        [
            name,
            _gap(against["as_they_are"]["difference"], 1, 100),
            _p(against["as_they_are"]["p"]),
            _gap(against["equal_cost"]["difference"], 1, 100),
            _p(against["equal_cost"]["p"]),
            _gap(against["fewer_steps"], 1),
            _gap(against["fewer_tokens"], 0),
        ]
        for name, figures in group.items()
        if (against := figures["against"]) is not None
    ]


def family_sections(groups: Mapping[str, Any]) -> list[Section]:
    """Return means by family, methods down and families across; none without families."""
    names = [name for name in groups if name != "all"]
    return [
        (
            f"{title} by family",
            ["Method", *names],
            [
                [method, *(_mean(groups[name].get(method), figure, form) for name in names)]
                for method in groups["all"]
            ],
        )
        for title, figure, form in (("Right", "accuracy", ".0%"), ("Steps", "steps", ".2f"))
        if names
    ]


def _mean(figures: Mapping[str, Any] | None, figure: str, form: str) -> str:
    return "" if figures is None else format(figures[figure]["mean"], form)


def share_interval(share: Mapping[str, float]) -> str:
    """Render a share with its interval."""
    return f"{share['mean']:.1%} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"


def _gap(estimate: Mapping[str, float], digits: int, scale: int = 1) -> str:
    """Render a difference with its interval."""
    mean, low, high = (f"{scale * estimate[name]:+.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _of(pair: Sequence[int]) -> str:
    return f"{pair[0]} of {pair[1]}"


def swept_settings(group: Mapping[str, Figures]) -> dict[str, dict[str, list[tuple[str, Figures]]]]:
    """Return each setting that methods vary alone, with its lines; numbers in order.

    Args:
        group: Figures by method, as a summary holds them.
    """
    settings: dict[str, dict[str, list[tuple[str, Figures]]]] = {}
    for name, figures in group.items():
        method, *given = name.split(":")
        if len(given) == 1:
            setting, _, value = given[0].partition("=")
            settings.setdefault(setting, {}).setdefault(method, []).append((value, figures))
    return {
        setting: {method: in_order(points) for method, points in lines.items()}
        for setting, lines in settings.items()
    }


def in_order(points: Sequence[tuple[str, Figures]]) -> list[tuple[str, Figures]]:
    """Sort points by their values where all are numbers."""
    if all(number_of(value) is not None for value, _ in points):
        return sorted(points, key=lambda point: float(point[0]))
    return list(points)


def sweep_rows(settings: Mapping[str, Lines]) -> list[list[str]]:
    """Return one row a setting, value and method, under `SENSITIVITY`."""
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


def number_of(value: str) -> float | None:
    """Return the number that a value is; None: it is a word."""
    try:
        return float(value)
    except ValueError:
        return None
