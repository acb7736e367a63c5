"""The benchmark's pictures: cost against length and steps, and where one call's time goes."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from latent_agent.errors import SettingError


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def require_drawing(option: str, instead: str) -> None:
    """See beforehand that a picture can be drawn; ``instead`` says how to do without.

    Raises:
        SettingError: If matplotlib is not installed.
    """
    if not can_draw():
        raise SettingError(
            f"{option} draws with matplotlib, which cannot be found; run: "
            f"pip install 'latent-agent[plot]', or {instead}"
        )


def draw_sweep(found: Mapping[str, Any], picture: Path) -> None:
    """Plot the processor's seconds against the answer's length and the steps, into a PNG."""
    figure = _figure(9, 3.6)
    for place, across, label in (
        (1, "answer_tokens", "answer tokens (T)"),
        (2, "iterations", "gradient steps (K)"),
    ):
        by = "length" if place == 1 else "steps"
        axes = figure.add_subplot(1, 2, place)
        _draw_points(axes, found[f"by_{by}"], across, found[f"line_by_{by}"])
        axes.set_xlabel(label)
    figure.suptitle(f"One call, shape {found['shape']}, every step changes the prefix")
    figure.savefig(picture, dpi=150)


def _draw_points(
    axes: Any, points: Sequence[Mapping[str, float]], across: str, line: Mapping[str, float]
) -> None:
    at = [point[across] for point in points]
    fitted = [
        line["fixed_seconds"] + line["ms_per_token"] / 1000 * point["forwarded_tokens"]
        for point in points
    ]
    axes.plot(at, [point["cpu_seconds"] for point in points], "o", label="measured")
    label = f"{line['ms_per_token']:.2f} ms a forwarded token"
    axes.plot(at, fitted, "-", color="tab:gray", zorder=0, label=label)
    axes.set_ylabel("processor seconds")
    axes.set_ylim(bottom=0)
    axes.set_xlim(left=0)
    axes.legend(loc="upper left")


def draw_profile(found: Mapping[str, Any], picture: Path) -> None:
    """Draw each stage's share of the processor's seconds as a bar, into a PNG."""
    stages: Sequence[Mapping[str, Any]] = found["stages"]
    names = [stage["stage"] for stage in stages]
    figure = _figure(7, 0.8 + 0.32 * len(names))
    axes = figure.add_subplot(1, 1, 1)
    bars = axes.barh(names, [100 * stage["share"] for stage in stages])
    axes.bar_label(bars, [f"{100 * stage['share']:.1f}%" for stage in stages], padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlabel("share of the processor's seconds, in per cent")
    axes.set_title(f"Where one call's time goes: {found['shape'] or found['model']}")
    figure.savefig(picture, dpi=150)


def _figure(wide: float, high: float) -> Any:
    from matplotlib.figure import Figure

    return Figure(figsize=(wide, high), layout="constrained")
