"""The page's charts, from what was read."""

from datetime import UTC, datetime
from itertools import accumulate

from latent_agent.cli.memory_page.charts import Chart, bar_chart, line_chart
from latent_agent.cli.memory_page.facts import Facts, verdict_of
from latent_agent.cli.plain_text import clean
from latent_memory.overview import Overview, Stretch
from latent_memory.priors.nights import NightInfo

_MARKS = 200  # nights on a chart


def charts_of(facts: Facts) -> list[Chart]:
    """Return the page's charts; none where nothing is remembered."""
    figures = facts.figures
    if not figures.stretches:
        return []
    parts = figures.stretches
    each = "a day" if figures.days == 1 else f"each {figures.days} days"
    ends = (f"{parts[0].first}", f"{parts[-1].first}")
    grown = list(accumulate(part.traces for part in parts))
    tenths = [f"{at / 10 - 1:.1f}" for at in range(10)]
    return [
        line_chart("Traces remembered", ends, [("traces", grown)]),
        line_chart(
            f"Mean gradient steps a question, {each}",
            ends,
            [("steps", [part.steps if part.traces else None for part in parts])],
            marks=[_mark(night, figures) for night in facts.nights[:_MARKS]],
        ),
        line_chart(
            f"Share of calls, {each}",
            ends,
            [
                ("warm-started", [_share(part.warm, part) for part in parts]),
                ("no step", [_share(part.at_once, part) for part in parts]),
            ],
            top=1.0,
            percent=True,
        ),
        line_chart(
            f"Mean reward, {each}",
            ends,
            [("reward", [part.score if part.traces else None for part in parts])],
            top=0.0,
            low=-1.0,
        ),
        bar_chart(
            "Traces by reward, a bar for each tenth", list(zip(tenths, figures.scores, strict=True))
        ),
        bar_chart("Traces by gradient steps", _by_steps(figures)),
    ]


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
    return where, kind, f"night {night.id}: {clean(verdict)}"
