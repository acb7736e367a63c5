"""A picture of a day, a night and the next day: gradient steps a question."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_OVER = 20  # questions of the running mean
# Blue and vermilion of Okabe and Ito's colours, which the colour-blind tell apart.
_WITH, _WITHOUT = "#0072b2", "#d55e00"


def running_mean(values: Sequence[float], over: int = _OVER) -> list[float]:
    """Average each value with those before it; the first ``over - 1`` have too few, and none."""
    return [sum(values[end - over : end]) / over for end in range(over, len(values) + 1)]


def draw_days(found: Mapping[str, Any], picture: Path) -> None:
    """Draw the running means of two days, and the mean without a memory, into a PNG."""
    from matplotlib.figure import Figure

    first, second = found["days"]
    figure = Figure(figsize=(7, 3.9), layout="constrained")
    axes = figure.add_subplot()
    cold = sum(found["without"]) / len(found["without"])
    axes.axhline(cold, color=_WITHOUT, linestyle="--", linewidth=1.8)
    end = len(first) + len(second)
    axes.text(end, cold, f"without a memory: {cold:.1f}", color=_WITHOUT, ha="right", va="bottom")
    for start, day, number in ((0, first, 1), (len(first), second, 2)):
        means = running_mean(day)
        end = start + len(day)
        axes.plot(range(end + 1 - len(means), end + 1), means, color=_WITH, linewidth=2.2)
        mean = sum(day) / len(day)
        label = f"day {number}: {mean:.2f} steps a question"
        middle = start + len(day) / 2
        axes.text(middle, 0.97, label, ha="center", va="top", transform=axes.get_xaxis_transform())
    axes.axvline(len(first) + 0.5, color="#444444", linewidth=6, alpha=0.25)
    night = f"night:\n{found['night']['verdict']}"
    axes.text(len(first), 0.97, night, ha="center", va="top", fontsize=9,
              bbox={"fc": "w", "ec": "none", "pad": 2},
              transform=axes.get_xaxis_transform())  # fmt: skip
    axes.set_ylim(0, max(cold, *running_mean(first), *running_mean(second)) * 1.25)
    axes.set_xlim(0, end + 1)
    axes.set_xlabel("questions asked")
    axes.set_ylabel(f"gradient steps a question\n(mean of the last {_OVER} that day)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.savefig(picture, dpi=150, metadata={"Software": None})
