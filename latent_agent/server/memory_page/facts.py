"""What the page about a memory is made of, read from the memory in one go."""

from collections.abc import Sequence
from dataclasses import dataclass

from latent_agent.nights.status import state_of
from latent_memory import LatentMemory, Ratings
from latent_memory.listing import Stats, TraceInfo, list_traces
from latent_memory.overview import Overview, overview
from latent_memory.priors.nights import NightInfo, list_nights
from latent_memory.priors.priors import PriorInfo, active_prior, list_priors

_LISTED = 10  # traces in each list


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that the page shows."""

    namespace: str | None
    figures: Overview
    ratings: Ratings
    stats: Stats
    nights: Sequence[NightInfo]
    priors: Sequence[tuple[PriorInfo, str]]
    newest: Sequence[TraceInfo]
    hardest: Sequence[TraceInfo]


def read(memory: LatentMemory, namespace: str | None) -> Facts:
    """Read what the page shows."""
    database = memory.database
    priors = list_priors(database, namespace=namespace)
    now = {shelf: active_prior(database, shelf) for shelf in {info.shelf for info in priors}}
    standing = {info.version for info in now.values() if info is not None}
    with database.read() as connection:
        newest, hardest = (
            list_traces(connection, namespace=namespace, limit=_LISTED, hardest=hardest)
            for hardest in (False, True)
        )
    return Facts(
        namespace=namespace,
        figures=overview(database, namespace=namespace),
        ratings=memory.count_ratings(namespace),
        stats=memory.stats(),
        nights=[n for n in list_nights(database) if namespace in (None, n.shelf.namespace)],
        priors=[(info, state_of(info, info.version in standing)) for info in priors],
        newest=newest,
        hardest=[info for info in hardest if info.steps],
    )


def verdict_of(night: NightInfo) -> str:
    """Return a night's verdict."""
    return "running" if night.result is None else night.result.verdict
