"""Pictures of a summary, as PNG."""

import io
from collections.abc import Iterable, Mapping
from typing import Any

# Not pyplot: it keeps state, and looks for a display.
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from latent_agent.evaluation import sweeps

_SIZE = (7.2, 4.4)  # inches
_LETTER, _ENTRY = 0.06, 0.19  # of a legend: a letter's width, a line's height
_USUAL = 16  # letters of a name that fit into the size above


def draw_all(summary: Mapping[str, Any]) -> dict[str, bytes]:
    """Return every plot that the summary has figures for, by name."""
    found = {name: _png(figure) for name, figure in line_figures(summary).items()}
    swept = sweeps.draw(sweeps.swept_settings(summary["groups"]["all"]))
    return found if swept is None else {**found, "sensitivity": swept}


def line_figures(summary: Mapping[str, Any]) -> dict[str, Figure]:
    """Return the figures of lines, by name.

    Every method has its line, those with settings of their own too.
    """
    methods = summary["groups"]["all"]
    looks = {name: _looks(number) for number, name in enumerate(methods)}  # the same in every plot
    found = {
        "accuracy": _curves(summary["curves"], looks, "Accuracy against cost, all questions"),
        "accuracy-planted": _curves(
            summary["curves_planted"], looks, "Accuracy against cost, planted families"
        ),
        "stream": _stream(summary["stream"], looks),
        "days": _days(summary["prepared"]),
        "rewards": _rewards(summary["rewards"], looks),
    }
    return {name: figure for name, figure in found.items() if figure is not None}


def _axes(names: Iterable[str]) -> tuple[Figure, Any]:
    """Return a figure with room for a legend of so many names beside its axes."""
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
    """Return a colour and a marker that tell a line from the others, in grey too."""
    return {
        "color": f"C{number % 10}",
        "marker": "osD^vP*Xh<>pd"[number % 13],
        "linestyle": ("-", "--", ":")[number // 10 % 3],
        "markersize": 4,
        "linewidth": 1.4,
        "alpha": 0.8,
    }


def _named(axes: Any, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(fontsize="x-small", frameon=False, bbox_to_anchor=(1.0, 1.0), loc="upper left")


def _curves(curves: Mapping[str, Any], looks: Looks, title: str) -> Figure | None:
    shown = {name: points for name, points in curves.items() if points}
    if not shown:
        return None
    figure, axes = _axes(shown)
    for name, points in shown.items():
        axes.plot(*zip(*points, strict=True), label=name, **looks[name])
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlim(left=0)
    _named(
        axes, title, "Mean forwarded tokens a question, one answer more at each mark", "Share right"
    )
    return figure


def _stream(stream: Mapping[str, Any], looks: Looks) -> Figure | None:
    shown = {
        name: parts
        for name, parts in stream.items()
        if name.startswith("latentseek") and len(parts) > 1
    }
    if not shown:
        return None
    figure, axes = _axes(shown)
    for name, parts in shown.items():
        places = [(part["from"] + part["to"]) / 2 for part in parts]
        axes.plot(places, [part["steps"] for part in parts], label=name, **looks[name])
    axes.set_ylim(bottom=0)
    _named(axes, "Steps along the questions", "Question", "Mean gradient steps")
    return figure


def _days(prepared: Mapping[str, Any] | None) -> Figure | None:
    if not prepared or not prepared["days"]:
        return None
    days = prepared["days"]
    names = [f"day {at}, then night: {day['night']['verdict']}" for at, day in enumerate(days, 1)]
    figure, axes = _axes(names)
    start = 0
    for number, day in enumerate(days):
        steps = [row["steps"] for row in day["questions"]]
        size = max(1, len(steps) // 8)
        parts = [steps[at : at + size] for at in range(0, len(steps), size)]
        axes.plot(
            [start + size * at + len(part) / 2 for at, part in enumerate(parts)],
            [sum(part) / len(part) for part in parts],
            label=names[number],
            **_looks(number),
        )
        start += len(steps)
        axes.axvline(start, color="black", alpha=0.3, linewidth=1)
    axes.set_ylim(bottom=0)
    _named(axes, "The training days", "Question", "Mean gradient steps")
    return figure


def _rewards(rewards: Mapping[str, Any], looks: Looks) -> Figure | None:
    shown = {name: row for name, row in rewards.items() if len(row) > 1}
    if not shown:
        return None
    figure, axes = _axes(shown)
    for name, row in shown.items():
        axes.plot(range(len(row)), row, label=name, **looks[name])
    _named(axes, "Reward histories", "Round (0: the first answer)", "Mean best reward so far")
    return figure
