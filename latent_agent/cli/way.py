"""How an answer came about, in words: for ``ask`` and ``chat``."""

from collections.abc import Callable, Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from latent_agent.server.memory_page.texts import clean, rewards_text

_MOST = 12  # rounds shown
_WIDE = 60  # characters of a question


def way_table(way: Mapping[str, Any], question_of: Callable[[int], str | None]) -> Table:
    """Draw how an answer came about.

    Args:
        way: ``response_metadata["latent_agent"]``.
        question_of: Returns the question of a recalled trace, if it is known.
    """
    table = Table(show_header=False, box=None, padding=(0, 1))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in (
        ("rewards", rounds_text(way["rewards"])),
        ("steps", f"{way['iterations']}, stopped by {way['stopped']}"),
        ("forwarded", ", ".join(f"{n} {stage}" for stage, n in way["forwarded_tokens"].items())),
        ("from", origin(way)),
        *_recalled(way, question_of),
        ("recipe", recipe if (recipe := way.get("recipe")) != "default" else None),
        ("error", way["error"] or way["memory_error"]),
    ):
        if text is not None:
            table.add_row(name, Text(clean(str(text))))
    return table


def rounds_text(rewards: Any) -> str:
    """Return the rewards of rounds; of many, the last ones."""
    shown = [rewards_text(one) for one in rewards[-_MOST:]]
    left_out = len(rewards) - len(shown)
    return "  ".join([f"({left_out} before)"] * bool(left_out) + shown) or "none"


def origin(way: Mapping[str, Any]) -> str:
    """Say what the answer started from, and under which id it is remembered."""
    neighbours, prior = way["warm_start"]["neighbours"], way["warm_start"]["prior"]
    parts = [way["source"]]
    if neighbours:
        parts.append(f"recalled traces {', '.join(map(str, neighbours))}")
    if prior is not None:
        parts.append(f"prior {prior}")
    if way["trace_id"] is not None:
        parts.append(f"stored as trace {way['trace_id']}")
    return "; ".join(parts)


def _recalled(
    way: Mapping[str, Any], question_of: Callable[[int], str | None]
) -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for trace in way["warm_start"]["neighbours"]:
        if question := question_of(trace):
            line = " ".join(question.split())
            short = line if len(line) <= _WIDE else f"{line[: _WIDE - 3]}..."
            rows.append((f"trace {trace}", short))
    return rows


def summary(way: Mapping[str, Any]) -> str:
    """Say in one line where an answer came from."""
    rounds = way["iterations"]
    searched = f"{rounds} round{'s' * (rounds != 1)} of search"
    best = max((max(one) for one in way["rewards"]), default=None)
    judged = "not judged" if best is None else f"reward {best:.2f}"
    if way["source"] == "search":
        return f"found after {searched}, {judged}"
    near = len(way["warm_start"]["neighbours"])
    begun = {
        "draft": "the draft stands",
        "sample": "a sampled draft",
        "memory": f"started from {near} remembered answer{'s' * (near != 1)}",
        "prior": f"started from prior {way['warm_start']['prior']}",
    }
    better = f", {searched} found nothing better" if rounds else ""
    return f"{begun.get(way['source'], way['source'])}{better}, {judged}"
