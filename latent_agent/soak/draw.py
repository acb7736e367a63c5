"""A soak's memory over time, as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from latent_agent.soak.watch import WARM_UP, Sample


def draw(samples: Sequence[Sample], figures: dict[str, Any], picture: Path) -> None:
    """Plot resident memory and the files' size over time, into a PNG."""
    # Not pyplot: it keeps state, and looks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(7.2, 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    minutes = [sample.seconds / 60 for sample in samples]
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(2, 1))
    above.plot(minutes, [sample.resident / 1e6 for sample in samples], linewidth=1)
    above.axvspan(0, WARM_UP * minutes[-1], color="0.9", label="warm-up, not judged")
    found, start = figures["memory"], WARM_UP * minutes[-1]
    rise = found["slope"] * 60 * (minutes[-1] - start) / 1e6
    middle = found["median"] / 1e6
    above.plot(
        [start, minutes[-1]],
        [middle - rise / 2, middle + rise / 2],
        "--",
        label=f"Theil-Sen slope: {found['share']:+.1%} over the time judged",
    )
    above.set_ylim(bottom=0)
    above.set_ylabel("resident memory, MB")
    above.legend(loc="lower right", fontsize=8)
    below.plot(minutes, [sample.disk / 1e6 for sample in samples], linewidth=1)
    below.set_ylim(bottom=0)
    below.set_ylabel("files, MB")
    below.set_xlabel("minutes")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    deeds = sum(figures["deeds"].values())
    figure.suptitle(f"{deeds:,} deeds on {figures['threads']} threads, bundled model")
    figure.savefig(picture, dpi=110, metadata={"Software": None})
