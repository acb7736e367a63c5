"""What the pages show of nights."""

from collections.abc import Sequence
from typing import Any

from latent_agent.server.memory_page.charts import Chart
from latent_agent.server.memory_page.facts import verdict_of
from latent_agent.server.memory_page.page import nights
from latent_agent.server.memory_page.texts import clean
from latent_agent.server.pages.rendering import BASE
from latent_memory.priors.nights import NightInfo

_MOST = 100
_NAMES = {"candidate": "new prior", "champion": "active prior", "neither": "no prior"}
_FIGURES = {
    "steps": ("steps a question", "{:.2f}"),
    "reward": ("mean reward", "{:.2f}"),
    "accepted": ("accepted", "{:.0%}"),
    "at_once": ("at once", "{:.0%}"),
    "forwarded_tokens": ("tokens a question", "{:,.0f}"),
}


def nights_view(known: Sequence[NightInfo]) -> dict[str, Any]:
    """Return the list of nights, newest first."""
    return {
        "nights": nights(known[:_MOST]),
        "hidden": max(0, len(known) - _MOST),
        "links": {"night": f"{BASE}/nights/"},
    }


def night_view(night: NightInfo) -> dict[str, Any]:
    """Return what the page of one night shows."""
    result = night.result
    losses = [] if result is None else list(result.losses)
    chart = Chart(
        title="Loss on held-out traces, by epoch",
        ends=("first", "last"),
        lines=[("loss", losses)],
    )
    gate = {} if result is None else result.gate
    return {
        "night": night,
        "verdict": clean(verdict_of(night)),
        "charts": [chart] if losses else [],
        "gate": [
            {"with": _NAMES.get(name, clean(name)), **_figures(means)}
            for name, means in gate.get("contestants", {}).items()
        ],
        "questions": gate.get("questions"),
        "chance": [
            (_NAMES.get(name, clean(name)), f"{p:.2g}")
            for name, p in gate.get("chance", {}).items()
        ],
    }


def _figures(means: dict[str, float]) -> dict[str, str]:
    return {
        title: form.format(means[name]) for name, (title, form) in _FIGURES.items() if name in means
    }
