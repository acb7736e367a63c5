"""Whether a memory is well, and the index and the prior of each of its shelves."""

import shlex
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL

from latent_agent.doctor.finding import Finding, parted
from latent_agent.doctor.nights import nights_of
from latent_agent.doctor.place import found_at
from latent_agent.errors import PriorError
from latent_agent.recall.active_prior import ActivePrior
from latent_memory import UNRATED, LatentMemory, ShelfInfo
from latent_memory.index.index_state import check_snapshot
from latent_memory.priors.priors import PriorInfo, active_prior
from latent_memory.retention.limits import TOTAL
from latent_memory.schema import address_of


def look_at_memory(location: Path | URL, *, thorough: bool) -> Iterator[Finding]:
    """Look at a memory, and at the indexes, priors and nights of its shelves."""
    with LatentMemory(location, mode="read") as memory:
        stats = memory.stats()
        text = f"{stats.traces:,} traces in {len(stats.shelves)} shelves, schema {stats.revision}"
        yield found_at(address_of(location), text)
        yield _limits(memory)
        if thorough:
            yield _whole(memory)
        for info in stats.shelves:
            yield _index(memory, info)
            if info.shelf.reward == UNRATED:
                continue  # no night learns from what waits for a rating
            yield _prior(memory, info)
            yield nights_of(memory, info.shelf)


def _limits(memory: LatentMemory) -> Finding:
    total, at = memory.limits().total, shlex.quote(str(memory.place))
    if total is not None:
        return Finding(about="limits", state="ok", text=f"at most {total:,} traces in all")
    return Finding(
        about="limits",
        state="warn",
        text="no total of traces is set: many namespaces can fill the disk",
        remedy=f"latent-agent memory limits --total {TOTAL} --memory {at}",
    )


def _whole(memory: LatentMemory) -> Finding:
    problems = memory.verify()
    if not problems:
        return Finding(about="contents", state="ok", text="every trace and index is whole")
    return Finding(
        about="contents",
        state="fail",
        text=f"{len(problems)} problems, the first: {problems[0].text}",
        remedy="see them all with: latent-agent memory verify; an index comes back with: "
        "latent-agent memory rebuild",
    )


def _index(memory: LatentMemory, info: ShelfInfo) -> Finding:
    about = f"index of {info.shelf.namespace}"
    if memory.database.snapshots is None:
        return Finding(about=about, state="ok", text="no file: the server keeps it")
    found = check_snapshot(memory.database, info.shelf)
    if found.fault is not None:
        return Finding(
            about=about,
            state="warn",
            text=f"its file is not used, and each process builds it anew: {found.fault}",
            remedy="latent-agent memory rebuild",
        )
    text = "no file: small, or built at the first recall"
    if found.vectors is not None:
        text = f"a file of {found.vectors:,} traces, whole"
    return Finding(about=about, state="ok", text=text)


def _prior(memory: LatentMemory, info: ShelfInfo) -> Finding:
    about = f"prior of {info.shelf.namespace}"
    prior = active_prior(memory.database, info.shelf)
    if prior is None:
        return Finding(about=about, state="ok", text="none active")
    text = f"version {prior.version} active, trained {prior.created:%Y-%m-%d %H:%M} UTC"
    if damage := _damage(memory, info, prior):
        return Finding(
            about=about,
            state="fail",
            text=f"{text}, but every call leaves it aside: {damage}",
            remedy="go back to the one before with: latent-agent prior rollback --namespace "
            f"{shlex.quote(info.shelf.namespace)}, or train again with: latent-agent consolidate",
        )
    if not prior.forgotten:
        return Finding(about=about, state="ok", text=text)
    return Finding(
        about=about,
        state="warn",
        text=f"{text}, on a trace that was forgotten since",
        remedy="train it anew: latent-agent consolidate, or withdraw it: latent-agent prior "
        "rollback",
    )


def _damage(memory: LatentMemory, info: ShelfInfo, prior: PriorInfo) -> str | None:
    """Load a prior as a call would; return what is wrong with it."""
    try:
        loaded = ActivePrior.of(prior, info.shelf, memory.database, fresh=True)
    except PriorError as error:
        return parted(error)[0]
    shape = loaded.network.shape
    made_for, wanted = (shape.embedding, shape.width), (info.dimension, info.width)
    if made_for == wanted:
        return None
    return f"it is made for embeddings and states {made_for!r} wide, those here are {wanted!r}"
