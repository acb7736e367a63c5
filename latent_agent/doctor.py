"""Whether an installation is well: one finding each for what a long-running assistant leans on."""

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from latent_agent.errors import LatentAgentError
from latent_memory import LatentMemory, LatentMemoryError, ShelfInfo
from latent_memory.nights import count_new, list_nights
from latent_memory.places import locate
from latent_memory.priors import database_of, in_force

State = Literal["ok", "warn", "fail"]

_PACKAGES = ("torch", "transformers", "langchain-core", "faiss-cpu", "sqlalchemy")
_LITTLE_SPACE = 500_000_000  # bytes
_MANY_NEW = 400  # traces; the paper's nights come every 200
_LONG_AGO = timedelta(days=7)
_SMOKE = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found out about one thing.

    Attributes:
        about: What was looked at.
        state: ``ok``, ``warn`` (it works, but somebody should look) or ``fail``.
        text: What is so.
        remedy: What to do about it; empty if all is well.
    """

    about: str
    state: State
    text: str
    remedy: str = ""


def examine(
    model: str, location: str | Path, *, thorough: bool = False, smoke: bool = True
) -> Iterator[Finding]:
    """Look at everything in turn; a finding that fails keeps none of the others from being made.

    Args:
        model: What chat models are opened with.
        location: The memory's place.
        thorough: Read every trace and compare every index, which takes time.
        smoke: Answer one question.
    """
    yield _versions()
    yield from _guarded("model", lambda: _model(model))
    path = locate(location)
    yield from _guarded("disk", lambda: _disk(path))
    if path.exists():
        yield from _guarded("memory", lambda: _memory(path, thorough=thorough))
    else:
        yield Finding(
            about="memory", state="ok", text=f"none yet at {path}; the first call makes it"
        )
    if smoke:
        yield from _guarded("call", lambda: _call(model))


def _guarded(about: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Turn an error into a finding; ours say the remedy themselves."""
    try:
        yield from look()
    except (LatentAgentError, LatentMemoryError) as error:
        text, _, remedy = str(error).partition("; ")
        yield Finding(about=about, state="fail", text=text, remedy=remedy)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        yield Finding(about=about, state="fail", text=text, remedy="report it as a bug")


def _versions() -> Finding:
    told = [f"{name} {version(name)}" for name in _PACKAGES]
    python = f"Python {platform.python_version()}"
    text = ", ".join([f"latent-agent {version('latent-agent')}", python, *told])
    return Finding(about="versions", state="ok", text=text)


def _model(model: str) -> Iterator[Finding]:
    from latent_agent.embedding import EMBEDDING
    from latent_agent.shared_model import open_model

    shared = open_model(model)
    text = f"{model}, fingerprint {shared.fingerprint(EMBEDDING)[:8]}"
    yield Finding(about="model", state="ok", text=text)


def _disk(path: Path) -> Iterator[Finding]:
    folder = next(parent for parent in path.parents if parent.is_dir())
    free = shutil.disk_usage(folder).free
    size = path.stat().st_size if path.exists() else 0
    text = f"{free / 1e9:,.1f} GB free beside a database of {size / 1e6:,.1f} MB"
    if free > max(_LITTLE_SPACE, 2 * size):
        yield Finding(about="disk", state="ok", text=text)
        return
    yield Finding(
        about="disk",
        state="warn",
        text=text,
        remedy="make room: latent-agent memory prune, or move the memory with --memory",
    )


def _memory(path: Path, *, thorough: bool) -> Iterator[Finding]:
    with LatentMemory(path, mode="read") as memory:
        stats = memory.stats()
        text = f"{stats.traces:,} traces in {len(stats.shelves)} shelves, schema {stats.revision}"
        yield Finding(about="memory", state="ok", text=f"{text}, at {path}")
        if thorough:
            yield _whole(memory)
        for info in stats.shelves:
            yield _prior(memory, info)
            yield _night(memory, info)


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


def _prior(memory: LatentMemory, info: ShelfInfo) -> Finding:
    about = f"prior of {info.shelf.namespace}"
    prior = in_force(database_of(memory), info.shelf)
    if prior is None:
        return Finding(about=about, state="ok", text="none in force")
    text = f"version {prior.version} in force, trained {prior.created:%Y-%m-%d %H:%M} UTC"
    if not prior.stale:
        return Finding(about=about, state="ok", text=text)
    return Finding(
        about=about,
        state="warn",
        text=f"{text}, on a trace that was forgotten since",
        remedy="train it anew: latent-agent consolidate, or withdraw it: latent-agent prior "
        "rollback",
    )


def _night(memory: LatentMemory, info: ShelfInfo) -> Finding:
    about = f"nights of {info.shelf.namespace}"
    nights = list_nights(database_of(memory), shelf=info.shelf)
    new = count_new(database_of(memory), info.shelf)
    last = nights[0] if nights else None  # the newest comes first
    told = "none yet"
    if last is not None:
        verdict = "not finished" if last.result is None else last.result.verdict
        told = f"the last {last.started:%Y-%m-%d %H:%M} UTC: {verdict}"
    text = f"{told}; {new:,} traces since"
    late = last is None or datetime.now(UTC) - last.started > _LONG_AGO
    if late and new >= _MANY_NEW:
        return Finding(
            about=about,
            state="warn",
            text=text,
            remedy="let one run: latent-agent consolidate; see examples/ for cron and systemd",
        )
    return Finding(about=about, state="ok", text=text)


def _call(model: str) -> Iterator[Finding]:
    from latent_agent.chat_model import ChatLatentSeek

    chat = ChatLatentSeek(model=model, memory=None, max_tokens=64, timeout=60)
    trace = chat.invoke(_SMOKE).response_metadata["latent_agent"]
    spent = sum(trace["forwarded_tokens"].values())
    text = f"one question answered: {trace['stopped']}, {spent} forwarded tokens"
    if trace["error"] is None and trace["stopped"] not in ("time", "tokens"):
        yield Finding(about="call", state="ok", text=text)
        return
    yield Finding(
        about="call",
        state="warn",
        text=f"{text}. {trace['error'] or ''}".strip(),
        remedy="a smaller model or fewer max_iterations, if a minute is too little for it",
    )
