"""Pictures of a summary, as PNG."""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

# Not pyplot: it keeps state, and looks for a display.
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from latent_agent.evaluation.tables import Lines, number_of, swept_settings

_SIZE = (7.2, 4.4)  # inches
_LETTER, _ENTRY = 0.06, 0.19  # of a legend: a letter's width, a line's height
_USUAL = 16  # letters of a name that fit into the size above


def draw_all(summary: Mapping[str, Any]) -> dict[str, bytes]:
    """Return every plot that the summary has figures for, by name."""
    pictures = {name: _png(figure) for name, figure in line_figures(summary).items()}
    swept = draw_settings(swept_settings(summary["groups"]["all"]))
    return pictures if swept is None else {**pictures, "sensitivity": swept}


def line_figures(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the figures of lines, by name.

    Every method has its line, those with settings of their own too.
    """
    methods = summary["groups"]["all"]
    looks = {name: _looks(number) for number, name in enumerate(methods)}  # the same in every plot
    figures = {
        "accuracy": _curves(summary["curves"], looks, "all questions"),
        "accuracy-planted": _curves(summary["curves_planted"], looks, "planted families"),
        "stream": _stream(summary["stream"], looks),
        "days": _days(summary["prepared"]),
        "rewards": _rewards(summary["rewards"], looks),
    }
    return {name: figure for name, figure in figures.items() if figure is not None}


def _axes(names: Iterable[str]) -> tuple[Figure, Any]:
    """Return a figure with room for a legend of these names beside its axes."""
    lengths = [len(name) for name in names]
    width = _SIZE[0] + _LETTER * max(0, max(lengths) - _USUAL)
    height = max(_SIZE[1], _ENTRY * len(lengths) + 1.0)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


Looks = Mapping[str, Mapping[str, Any]]


def _looks(number: int) -> dict[str, Any]:
    """Return a colour and a marker that distinguish a line, in grey too."""
    return {
        "color": f"C{number % 10}",
        "marker": "osD^vP*Xh<>pd"[number % 13],
        "linestyle": ("-", "--", ":")[number // 10 % 3],
        "markersize": 4,
        "linewidth": 1.4,
        "alpha": 0.8,
    }


Line = tuple[Sequence[float], Sequence[float]]


def _lines(
    lines: Mapping[str, Line], looks: Looks, title: str, x: str, y: str, **limits: Any
) -> Figure | None:
    """Draw a line a name; None where there is none."""
    if not lines:
        return None
    figure, axes = _axes(lines)
    for name, (across, up) in lines.items():
        axes.plot(across, up, label=name, **looks[name])
    axes.set(xlabel=x, ylabel=y, **limits)
    axes.set_title(title, loc="left")
    axes.legend(fontsize="x-small", frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")
    return figure


def _curves(curves: Mapping[str, Any], looks: Looks, which: str) -> Figure | None:
    lines = {
        name: ([cost for cost, _ in points], [right for _, right in points])
        for name, points in curves.items()
        if points
    }
    x = "Mean forwarded tokens a question, one answer more at each mark"
    title = f"Accuracy against cost, {which}"
    return _lines(lines, looks, title, x, "Share right", ylim=(-0.02, 1.02), xlim=(0, None))


def _stream(stream: Mapping[str, Any], looks: Looks) -> Figure | None:
    lines = {
        name: ([(part["from"] + part["to"]) / 2 for part in parts], [p["steps"] for p in parts])
        for name, parts in stream.items()
        if name.startswith("latentseek") and len(parts) > 1
    }
    title = "Steps along the questions"
    return _lines(lines, looks, title, "Question", "Mean gradient steps", ylim=(0, None))


def _days(prepared: Mapping[str, Any] | None) -> Figure | None:
    lines: dict[str, Line] = {}
    ends: list[int] = []
    days: Sequence[Any] = prepared["days"] if prepared else ()
    for number, day in enumerate(days, 1):
        steps = [row["steps"] for row in day["questions"]]
        size, start = max(1, len(steps) // 8), ends[-1] if ends else 0
        parts = [steps[at : at + size] for at in range(0, len(steps), size)]
        lines[f"day {number}, then night: {day['night']['verdict']}"] = (
            [start + size * at + len(part) / 2 for at, part in enumerate(parts)],
            [sum(part) / len(part) for part in parts],
        )
        ends.append(start + len(steps))
    looks = {name: _looks(number) for number, name in enumerate(lines)}
    title = "The training days"
    figure = _lines(lines, looks, title, "Question", "Mean gradient steps", ylim=(0, None))
    if figure is not None:
        for end in ends:
            figure.axes[0].axvline(end, color="black", alpha=0.3, linewidth=1)
    return figure


def _rewards(rewards: Mapping[str, Any], looks: Looks) -> Figure | None:
    lines = {name: (range(len(row)), row) for name, row in rewards.items() if len(row) > 1}
    x = "Round (0: the first answer)"
    return _lines(lines, looks, "Reward histories", x, "Mean best reward so far")


def draw_settings(settings: Mapping[str, Lines]) -> bytes | None:
    """Draw one picture: a panel a setting, with accuracy, its intervals and its cost."""
    if not settings:
        return None
    columns = min(2, len(settings))
    rows = -(-len(settings) // columns)
    figure = Figure(figsize=(6.4 * columns, 4.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for number, (setting, lines) in enumerate(settings.items(), 1):
        _panel(figure.add_subplot(rows, columns, number), setting, lines)
    return _png(figure)


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
    numbers = [number_of(value) for value in values]
    return {
        value: float(place) if number is None or None in numbers else number
        for place, (value, number) in enumerate(zip(values, numbers, strict=True))
    }


def _scale(axes: Any, values: Sequence[str], places: Mapping[str, float]) -> None:
    if any(number_of(value) is None for value in values):
        axes.set_xticks(list(places.values()), list(places))
        return
    low, high = min(places.values()), max(places.values())
    if low > 0 and high > 20 * low:
        axes.set_xscale("log")
