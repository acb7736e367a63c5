"""The page's charts: their figures; the template ``chart.svg.j2`` draws them.

Not drawn by matplotlib: so the page needs no extra, stays sharp at any size, and takes its colours
from the page, in the dark too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from latent_agent.server.memory_page.facts import Facts, verdict_of
from latent_agent.server.memory_page.texts import clean
from latent_memory import Ratings
from latent_memory.overview import Overview, Stretch
from latent_memory.priors.nights import NightInfo

_MARKS = 200  # nights on a chart
_STRETCHES = 60


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Lines over equal stretches, or bars.

    Attributes:
        title: What it shows, with the unit.
        ends: Labels of the first stretch and of the last.
        lines: Names and values; None where there is nothing.
        bars: Labels and counts.
        low: The lowest value.
        top: The highest value that there can be; None: what the values need.
        percent: Values are shares.
        marks: Nights: where in [0, 1], kind, and what they say.
    """

    title: str
    ends: tuple[str, str] = ("", "")
    lines: Sequence[tuple[str, Sequence[float | None]]] = ()
    bars: Sequence[tuple[str, int]] = ()
    low: float = 0.0
    top: float | None = None
    percent: bool = False
    marks: Sequence[tuple[float, str, str]] = ()

    @property
    def says(self) -> str:
        """The same figures in words, for readers who cannot see it."""
        parts = [f"{name}: {self._course(values)}" for name, values in self.lines]
        parts += [f"{label}: {count:,}" for label, count in self.bars if count]
        return f"{self.title}. {', '.join(parts)}"

    def _course(self, values: Sequence[float | None]) -> str:
        known = [value for value in values if value is not None]
        if not known:
            return "nothing"
        first, last = (f"{v:.0%}" if self.percent else f"{v:,.2f}" for v in (known[0], known[-1]))
        return f"{first} at first, {last} at last"

    @property
    def scale(self) -> tuple[float, float]:
        """A round step for at most five levels, and the distance from lowest to highest value."""
        known = [v for _, values in self.lines for v in values if v is not None]
        known += [count for _, count in self.bars]
        highest = (max(known, default=self.low) if self.top is None else self.top) - self.low
        if highest <= 0:
            return 1.0, 1.0
        power = 10.0 ** math.floor(math.log10(highest / 4))
        step = next(power * by for by in (1, 2, 2.5, 5, 10) if power * by * 4 >= highest * 0.999)
        exact = self.top is not None
        return step, highest if exact else step * math.ceil(highest / step - 1e-9)

    @property
    def levels(self) -> list[tuple[float, str]]:
        """Heights in [0, 1] of the grid's lines, with their labels."""
        step, span = self.scale
        above = [step * at for at in range(int(span / step + 1e-9) + 1)]
        return [(value / span, self._label(self.low + value)) for value in above]

    def _label(self, value: float) -> str:
        if self.percent:
            return f"{value:.0%}"
        return f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"

    def height(self, value: float) -> float:
        """Return how high a value lies, in [0, 1]."""
        return (value - self.low) / self.scale[1]


def charts_of(facts: Facts) -> list[Chart]:
    """Return the page's charts; none where nothing is remembered."""
    figures, parts = facts.figures, facts.figures.stretches
    if not parts:
        return []
    each = "a day" if figures.days == 1 else f"each {figures.days} days"
    ends = (f"{parts[0].first}", f"{parts[-1].first}")
    grown = list(accumulate(part.traces for part in parts))
    tenths = [f"{at / 10 - 1:.1f}" for at in range(10)]
    return [
        Chart(title="Traces remembered", ends=ends, lines=[("traces", grown)]),
        Chart(
            title=f"Mean gradient steps a question, {each}",
            ends=ends,
            lines=[("steps", [part.steps if part.traces else None for part in parts])],
            marks=[_mark(night, figures) for night in facts.nights[:_MARKS]],
        ),
        Chart(
            title=f"Share of calls, {each}",
            ends=ends,
            lines=[
                ("warm-started", [_share(part.warm, part) for part in parts]),
                ("no step", [_share(part.at_once, part) for part in parts]),
            ],
            top=1.0,
            percent=True,
        ),
        Chart(
            title=f"Mean reward, {each}",
            ends=ends,
            lines=[("reward", [part.score if part.traces else None for part in parts])],
            top=0.0,
            low=-1.0,
        ),
        Chart(
            title="Traces by reward, a bar for each tenth",
            bars=list(zip(tenths, figures.scores, strict=True)),
        ),
        Chart(title="Traces by gradient steps", bars=_by_steps(figures)),
        *_ratings(facts.ratings),
    ]


def _ratings(ratings: Ratings) -> list[Chart]:
    """Chart the feedback by day; not at all where there is none."""
    if not ratings.days:
        return []
    first, last = ratings.days[0].day, ratings.days[-1].day
    by_day = {one.day: one for one in ratings.days}
    each = -(-((last - first).days + 1) // _STRETCHES)
    up, down = [], []
    for start in range(0, (last - first).days + 1, each):
        days = [by_day.get(first + timedelta(days=start + at)) for at in range(each)]
        up.append(sum(one.up for one in days if one))
        down.append(sum(one.down for one in days if one))
    name = "a day" if each == 1 else f"each {each} days"
    lines = [("right", up), ("wrong", down)]
    return [Chart(title=f"Feedback, {name}", ends=(f"{first}", f"{last}"), lines=lines)]


def _share(count: int, part: Stretch) -> float | None:
    return count / part.traces if part.traces else None


def _by_steps(figures: Overview) -> list[tuple[str, int]]:
    """Count traces by steps; from 10 on together."""
    most = max(figures.steps)
    bars = [(str(steps), figures.steps.get(steps, 0)) for steps in range(min(most, 9) + 1)]
    more = sum(count for steps, count in figures.steps.items() if steps > 9)
    return [*bars, ("10+", more)] if more else bars


def _mark(night: NightInfo, figures: Overview) -> tuple[float, str, str]:
    first = figures.stretches[0].first
    span = len(figures.stretches) * figures.days * 86_400
    begins = datetime(first.year, first.month, first.day, tzinfo=UTC)
    verdict = verdict_of(night)
    kind = "published" if verdict == "published" else "not"
    where = (night.started - begins).total_seconds() / span
    return min(max(where, 0.0), 1.0), kind, f"night {night.id}: {clean(verdict)}"
