"""The summary as rows of text, for terminal and pages alike."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

HEADINGS = (
    "Method",
    "Right [95%]",
    "Forwarded tokens",
    "Steps",
    "Seconds",
    "At once",
    "Length",
    "Kept",
    "Mended",
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


def method_rows(group: Mapping[str, Any]) -> list[list[str]]:
    """Return one row a method, under `HEADINGS`."""
    return [
        [
            name,
            share_interval(found["accuracy"]),
            f"{found['forwarded']['mean']:.0f}",
            f"{found['steps']['mean']:.2f}",
            f"{found['seconds']:.2f}",
            f"{found['at_once']:.0%}",
            "" if found["length"] is None else f"{found['length']:.2f}",
            _of(found["kept"]),
            _of(found["fixed"]),
            str(found["failures"]),
        ]
        for name, found in group.items()
    ]


def against_rows(group: Mapping[str, Any]) -> list[list[str]]:
    """Return how LatentSeek compares with each method, under `AGAINST`."""
    return [
        [
            name,
            _points(against["as_they_are"]),
            _p(against["as_they_are"]["p"]),
            _points(against["equal_cost"]),
            _p(against["equal_cost"]["p"]),
            _gap(against["fewer_steps"], 1),
            _gap(against["fewer_tokens"], 0),
        ]
        for name, found in group.items()
        if (against := found["against"]) is not None
    ]


def family_rows(
    groups: Mapping[str, Any], figure: str, form: str
) -> tuple[list[str], list[list[str]]]:
    """Return headings and rows of a figure's mean by family; methods down, families across."""
    names = [name for name in groups if name != "all"]
    rows = [
        [
            method,
            *(
                format(groups[name][method][figure]["mean"], form) if method in groups[name] else ""
                for name in names
            ),
        ]
        for method in groups["all"]
    ]
    return ["Method", *names], rows


def share_interval(found: Mapping[str, float]) -> str:
    """Render a share with its interval."""
    return f"{found['mean']:.1%} [{100 * found['low']:.1f}, {100 * found['high']:.1f}]"


def _points(found: Mapping[str, Any]) -> str:
    gap = found["difference"]
    return f"{100 * gap['mean']:+.1f} [{100 * gap['low']:+.1f}, {100 * gap['high']:+.1f}]"


def _gap(found: Mapping[str, float], digits: int) -> str:
    mean, low, high = (f"{found[name]:+.{digits}f}" for name in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _of(pair: Sequence[int]) -> str:
    return f"{pair[0]} of {pair[1]}"


def main_table(summary: Mapping[str, Any]) -> Table:
    """Return the table of all methods for a terminal."""
    table = Table(title=f"{summary['questions']} questions, {len(summary['seeds'])} seed(s)")
    shown = (0, 1, 2, 3, 7, 8)
    table.add_column(HEADINGS[0], overflow="fold")  # variants differ at their names' ends
    for number in shown[1:]:
        table.add_column(HEADINGS[number], justify="right")
    for row in method_rows(summary["groups"]["all"]):
        table.add_row(*(row[number] for number in shown))
    return table
