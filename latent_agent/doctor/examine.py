"""Whether an installation is well: one finding each for what a long-running assistant leans on."""

import platform
import shutil
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

from latent_agent.doctor.finding import Finding, parted
from latent_agent.doctor.memory import look_at_memory
from latent_agent.doctor.place import can_be_made
from latent_agent.errors import LatentAgentError
from latent_agent.model.options import LoadOptions
from latent_memory import LatentMemoryError
from latent_memory.locations import default_location, locate

_PACKAGES = ("torch", "transformers", "langchain-core", "faiss-cpu", "sqlalchemy")
_LITTLE_SPACE = 500_000_000  # bytes
_SMOKE = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


def examine(
    model: str,
    location: str | Path | None = None,
    opened: LoadOptions = LoadOptions(),  # noqa: B008 - frozen
    *,
    thorough: bool = False,
    smoke: bool = True,
) -> Iterator[Finding]:
    """Look at everything in turn; a finding that fails keeps none of the others from being made.

    Args:
        model: What chat models are opened with.
        location: The memory's place; None: the default one.
        opened: How the model is opened.
        thorough: Read every trace and compare every index with it, which takes time.
        smoke: Answer one question, and measure how fast the model writes.
    """
    yield _versions()
    yield from _guarded("model", lambda: _model(model, opened))
    yield from _guarded("memory", lambda: _memory(location, thorough))
    if smoke:
        yield from _guarded("call", lambda: _call(model, opened))


def _guarded(about: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Turn an error into a finding; ours say the remedy themselves."""
    try:
        yield from look()
    except (LatentAgentError, LatentMemoryError) as error:
        text, remedy = parted(error)
        yield Finding(about=about, state="fail", text=text, remedy=remedy)
    except Exception as error:
        text = f"{type(error).__name__}: {error}"
        yield Finding(about=about, state="fail", text=text, remedy="report it as a bug")


def _versions() -> Finding:
    packages = [f"{name} {version(name)}" for name in _PACKAGES]
    python = f"Python {platform.python_version()}"
    text = ", ".join([f"latent-agent {version('latent-agent')}", python, *packages])
    return Finding(about="versions", state="ok", text=text)


def _model(model: str, opened: LoadOptions) -> Iterator[Finding]:
    from latent_agent.model.registry import open_model

    shared = open_model(model, None, opened)
    text = f"{model}, fingerprint {shared.fingerprint()[:8]}"
    yield Finding(about="model", state="ok", text=text)


def _memory(location: str | Path | None, thorough: bool) -> Iterator[Finding]:
    path = locate(location or default_location())
    if not isinstance(path, Path):
        yield from look_at_memory(path, thorough=thorough)
        return
    yield from _guarded("disk", lambda: _disk(path))
    if path.exists():
        yield from look_at_memory(path, thorough=thorough)
    else:
        yield can_be_made(path)


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


def _call(model: str, opened: LoadOptions) -> Iterator[Finding]:
    from latent_agent.chat.chat_model import ChatLatentSeek
    from latent_agent.doctor.speed import look_at_speed

    chat = ChatLatentSeek(model=model, memory=None, max_tokens=64, timeout=60, **opened.given)
    yield from look_at_speed(model, opened)  # the model that the chat model holds
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
