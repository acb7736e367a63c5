"""What the page about a memory says, and the page itself."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined, Template

from latent_agent.server.memory_page.charts import charts_of
from latent_agent.server.memory_page.facts import Facts, read, verdict_of
from latent_agent.server.memory_page.texts import clean
from latent_memory import LatentMemory, Ratings
from latent_memory.listing import TraceInfo
from latent_memory.priors.nights import NightInfo
from latent_memory.priors.priors import PriorInfo

_PLACE = "latent_agent.server.memory_page"
_ROWS = 12  # of nights and of priors, the newest
_LONGEST = 300  # characters of a question


def environment(*places: str) -> Environment:
    """Return where templates are found: in these packages, then among the page's own."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(place) for place in (*places, _PLACE)]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def template(name: str) -> Template:
    """Return one of the page's templates."""
    return environment().get_template(name)


def page_of(memory: LatentMemory, *, namespace: str | None = None, texts: bool = False) -> str:
    """Return a page about a memory, or one namespace of it, as HTML.

    Args:
        memory: The memory; it is only read.
        namespace: Only this one.
        texts: Show questions too.
    """
    return template("memory.html.j2").render(
        **contents(memory, namespace=namespace, texts=texts), path=clean(str(memory.place))
    )


def contents(
    memory: LatentMemory, *, namespace: str | None = None, texts: bool = False, whole: bool = True
) -> dict[str, Any]:
    """Return what the template ``body.html.j2`` shows of a memory, or of one namespace of it.

    Args:
        memory: The memory; it is only read.
        namespace: Only this one.
        texts: Show questions too.
        whole: Show sizes, which are those of all namespaces together.
    """
    facts = read(memory, namespace)
    return {
        "name": "all namespaces" if namespace is None else f"namespace {clean(namespace)}",
        "made": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "tiles": tiles(facts),
        "charts": charts_of(facts),
        "stopped": [(clean(why), f"{count:,}") for why, count in facts.figures.stopped.items()],
        "nights": nights(facts.nights[:_ROWS]),
        "verdicts": Counter(verdict_of(night) for night in facts.nights).most_common(),
        "priors": [prior(info, state) for info, state in facts.priors[:_ROWS]],
        "more_priors": max(0, len(facts.priors) - _ROWS),
        "shelves": shelves(facts),
        "sizes": sizes(memory, facts) if whole else [],
        "lists": lists(facts, texts),
        "texts": texts,
        "links": {},
    }


def tiles(facts: Facts) -> list[tuple[str, str]]:
    """Return the page's main figures, each with what it is."""
    figures, whole = facts.figures, facts.figures.whole
    if whole is None or figures.newest is None:
        return [("0", "traces: nothing has been asked yet")]
    used = [s for s in figures.stretches if s.traces]
    published = sum(verdict_of(night) == "published" for night in facts.nights)
    course = (
        f"{used[0].steps:.2f} → {used[-1].steps:.2f}",
        "steps a question, first days and last",
    )
    return [
        (f"{figures.traces:,}", f"traces, the newest {figures.newest:%Y-%m-%d %H:%M} UTC"),
        (f"{whole.warm / whole.traces:.0%}", "of calls warm-started by neighbours or a prior"),
        (f"{whole.at_once / whole.traces:.0%}", "answered without a gradient step"),
        (f"{whole.steps:.2f}", "gradient steps a question"),
        *([course] if len(used) > 1 else []),
        (f"{whole.score:z.2f}", "mean reward, of -1 to 0"),
        *_rated(facts.ratings),
        (f"{len(facts.nights)}", f"nights, of which {published} published a prior"),
    ]


def _rated(ratings: Ratings) -> list[tuple[str, str]]:
    if not ratings.days:
        return []
    waiting = f"; {ratings.waiting:,} corrections wait" if ratings.waiting else ""
    return [(f"{ratings.up:,} / {ratings.down:,}", f"answers rated right / wrong{waiting}")]


def nights(infos: Sequence[NightInfo]) -> list[dict[str, str]]:
    """Return the nights' rows."""
    return [
        {
            "night": str(night.id),
            "began": f"{night.started:%Y-%m-%d %H:%M}",
            "namespace": clean(night.shelf.namespace),
            "verdict": clean(verdict_of(night)),
            "why": "" if night.result is None else clean(night.result.reason),
            "took": "" if night.result is None else f"{night.result.seconds:,.0f} s",
        }
        for night in infos
    ]


def prior(info: PriorInfo, state: str) -> dict[str, str]:
    """Return a prior's row."""
    return {
        "version": str(info.version),
        "trained": f"{info.created:%Y-%m-%d %H:%M}",
        "namespace": clean(info.shelf.namespace),
        "state": clean(state),
        "positions": str(info.positions),
        "traces": f"{info.first_trace} to {info.last_trace}",
    }


def shelves(facts: Facts) -> list[dict[str, str]]:
    """Return the shelves' rows."""
    return [
        {
            "namespace": clean(info.shelf.namespace),
            "model": clean(info.shelf.fingerprint[:8]),
            "reward": clean(info.shelf.reward.split(" ")[0]),
            "traces": f"{info.traces:,}",
            "newest": f"{info.newest:%Y-%m-%d %H:%M}",
        }
        for info in facts.stats.shelves
        if facts.namespace in (None, info.shelf.namespace)
    ]


def sizes(memory: LatentMemory, facts: Facts) -> list[dict[str, str]]:
    """Return what lies on the disk; the files hold all namespaces."""
    stats = facts.stats
    kept = sum(file.stat().st_size for file in stats.backups if file.is_file())
    kept += sum(file.size for file in memory.database.files.list())
    rows = [
        ("Database", stats.database_bytes),
        ("Write-ahead log", stats.log_bytes),
        ("Index for recall", stats.index_bytes),
        ("Priors and backups", kept),
    ]
    shown = [(name, f"{count / 1e6:,.1f} MB") for name, count in rows]
    if stats.traces:
        shown.append(("Database, a trace", f"{stats.database_bytes / stats.traces / 1e3:,.1f} kB"))
    return [{"on the disk": name, "size": size} for name, size in shown]


def lists(facts: Facts, texts: bool) -> list[tuple[str, list[dict[str, str]]]]:
    """Return the traces to look at; their questions only if they are asked for."""
    titled = (("Newest traces", facts.newest), ("Traces that took the most steps", facts.hardest))
    return [(name, [_row(info, texts) for info in infos]) for name, infos in titled if infos]


def _row(info: TraceInfo, texts: bool) -> dict[str, str]:
    row = {
        "id": str(info.id),
        "stored": f"{info.created:%Y-%m-%d %H:%M}",
        "reward": f"{info.score:z.2f}",
        "rated": "" if info.rating is None else f"{info.rating:z.2f}",
        "steps": str(info.steps),
        "ended by": clean(info.stopped),
    }
    return row | ({"question": _cut(info.query)} if texts else {})


def _cut(text: str | None) -> str:
    if text is None:
        return "not stored"
    shown = clean(text)
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]} ..."
