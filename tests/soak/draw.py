"""A soak's memory over time, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.soak.watch import WARM_UP, Sample


def draw(samples: Sequence[Sample], figures: dict[str, Any], picture: Path) -> None:
    """Plot memory and the files' size over time, into a PNG."""
    # Not pyplot: it keeps state, and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(7.2, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    minutes = [sample.seconds / 60 for sample in samples]
    rests = [(s.seconds / 60, s.rest.heap / 1e6) for s in samples if s.rest is not None]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.axvspan(0, WARM_UP * minutes[-1], color="0.9", label="warm-up, not judged")
    above.plot(
        minutes,
        [sample.resident / 1e6 for sample in samples],
        linewidth=0.8,
        label=f"resident, at work: {_label(figures, 'resident')}",
    )
    above.plot(
        *zip(*rests, strict=True),
        ".-",
        linewidth=0.8,
        markersize=3,
        label=f"C heap, at rest: {_label(figures, 'C heap at rest')}",
    )
    above.set_ylim(bottom=0)
    above.set_ylabel("memory, MB")
    above.legend(loc="lower right", fontsize=8)
    below.plot(minutes, [sample.disk / 1e6 for sample in samples], linewidth=1)
    below.set_ylim(bottom=0)
    below.set_ylabel("files, MB")
    below.set_xlabel("minutes")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    actions = sum(figures["actions"].values())
    figure.suptitle(f"{actions:,} actions on {figures['threads']} threads, bundled model")
    figure.savefig(picture, dpi=110, metadata={"Software": None})


def _label(figures: dict[str, Any], name: str) -> str:
    change = figures["memory"][name]
    return f"{change['share']:+.1%}" + ("" if change["judged"] else " (not judged: too short)")
