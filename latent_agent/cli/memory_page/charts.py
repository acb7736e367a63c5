"""Charts as numbers for inline SVG.

Not drawn by matplotlib: so the page needs no extra, stays sharp at any size, and takes its colours
from the page, in the dark too. The sizes suit a phone's width, where one unit is about one pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 44, 10, 10, 26
_BASE = HEIGHT - BOTTOM
_INNER, _TALL = WIDTH - LEFT - RIGHT, _BASE - TOP


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line of a chart: pieces between gaps as SVG points, and dots where they are few."""

    name: str
    kind: str
    pieces: Sequence[str]
    dots: Sequence[tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One bar: left, top, width and height, and what it says."""

    x: float
    y: float
    width: float
    height: float
    says: str


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A night below the axis."""

    x: float
    kind: str
    says: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart, laid out.

    Attributes:
        title: What it shows, with the unit.
        says: The same figures in words, for who cannot see it.
        across: Labels below, with where they lie and how they are anchored.
        up: Labels at the left.
        lines: Its lines.
        bars: Its bars.
        marks: Nights.
    """

    title: str
    says: str
    across: Sequence[tuple[float, str, str]]
    up: Sequence[tuple[float, str]]
    lines: Sequence[Line] = ()
    bars: Sequence[Bar] = ()
    marks: Sequence[Mark] = ()


def line_chart(
    title: str,
    labels: tuple[str, str],
    lines: Sequence[tuple[str, Sequence[float | None]]],
    *,
    top: float | None = None,
    low: float = 0.0,
    percent: bool = False,
    marks: Sequence[tuple[float, str, str]] = (),
) -> Chart:
    """Lay lines out over equal stretches.

    Args:
        title: What they show.
        labels: Of the first stretch and of the last.
        lines: Names and values; None where there is nothing.
        top: The highest value that there can be; None: what the lines need.
        low: The lowest.
        percent: Values are shares.
        marks: Nights: where in [0, 1], kind, and what they say.
    """
    known = [value for _, values in lines for value in values if value is not None]
    step, span = _scale((max(known, default=low) if top is None else top) - low, top is not None)
    told = ", ".join(f"{name}: {_ends(values, percent)}" for name, values in lines)
    return Chart(
        title=title,
        says=f"{title}. {told}",
        across=_ends_of_axis(labels, len(lines[0][1])),
        up=_levels(step, span, low, percent),
        lines=[
            _line(name, f"line-{at + 1}", values, low, span)
            for at, (name, values) in enumerate(lines)
        ],
        marks=[
            Mark(x=round(LEFT + min(max(where, 0.0), 1.0) * _INNER, 1), kind=kind, says=says)
            for where, kind, says in marks
        ],
    )


def bar_chart(title: str, bars: Sequence[tuple[str, int]]) -> Chart:
    """Lay bars out, a label each."""
    step, top = _scale(max((count for _, count in bars), default=0))
    slot = _INNER / max(len(bars), 1)
    every = math.ceil(len(bars) / 8)
    return Chart(
        title=title,
        says=f"{title}. " + ", ".join(f"{label}: {count:,}" for label, count in bars if count),
        across=[
            (round(LEFT + (at + 0.5) * slot, 1), label, "middle")
            for at, (label, _) in enumerate(bars)
            if at % every == 0
        ],
        up=_levels(step, top),
        bars=[
            Bar(
                x=round(LEFT + at * slot + slot * 0.1, 1),
                y=round(_height(count, top), 1),
                width=round(slot * 0.8, 1),
                height=round(_BASE - _height(count, top), 1),
                says=f"{label}: {count:,}",
            )
            for at, (label, count) in enumerate(bars)
        ],
    )


def _height(value: float, top: float) -> float:
    return _BASE - value / top * _TALL


def _scale(highest: float, exact: bool = False) -> tuple[float, float]:
    """Return a round step for at most five levels, and the top of the scale."""
    if highest <= 0:
        return 1.0, 1.0
    power = 10.0 ** math.floor(math.log10(highest / 4))
    step = next(power * by for by in (1, 2, 2.5, 5, 10) if power * by * 4 >= highest * 0.999)
    return step, highest if exact else step * math.ceil(highest / step - 1e-9)


def _levels(
    step: float, span: float, low: float = 0.0, percent: bool = False
) -> list[tuple[float, str]]:
    values = [step * at for at in range(int(span / step + 1e-9) + 1)]
    return [
        (round(_height(value, span), 1), f"{value:.0%}" if percent else _short(low + value))
        for value in values
    ]


def _short(value: float) -> str:
    return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"


def _line(name: str, kind: str, values: Sequence[float | None], low: float, span: float) -> Line:
    places: list[list[tuple[float, float]]] = [[]]
    for at, value in enumerate(values):
        if value is None:
            places.append([])
        else:
            x = LEFT + (at + 0.5) / len(values) * _INNER
            places[-1].append((round(x, 1), round(_height(value - low, span), 1)))
    return Line(
        name=name,
        kind=kind,
        pieces=[" ".join(f"{x},{y}" for x, y in piece) for piece in places if len(piece) > 1],
        dots=[dot for piece in places if len(values) <= 31 or len(piece) == 1 for dot in piece],
    )


def _ends(values: Sequence[float | None], percent: bool) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "nothing"
    first, last = (f"{v:.0%}" if percent else f"{v:,.2f}" for v in (known[0], known[-1]))
    return f"{first} at first, {last} at last"


def _ends_of_axis(labels: tuple[str, str], count: int) -> list[tuple[float, str, str]]:
    if count < 2:
        return [(LEFT + _INNER / 2, labels[0], "middle")]
    return [(LEFT, labels[0], "start"), (WIDTH - RIGHT, labels[1], "end")]
