"""Every test runs offline, in a home folder of its own, with one torch thread."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# Read when huggingface_hub, transformers and langsmith are first imported, so set before any test
# module is.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["LANGSMITH_TRACING"] = "false"

import torch

from latent_agent.model.registry import SharedModel, open_model
from latent_agent.model.transformers_engine.engine import TransformersEngine
from tests.support.servers import Place, Server, places, served

XDG_FOLDERS = {
    "XDG_CACHE_HOME": ".cache",
    "XDG_CONFIG_HOME": ".config",
    "XDG_DATA_HOME": ".local/share",
    "XDG_STATE_HOME": ".local/state",
}


def move_home(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Points HOME and the XDG folders at `home`, which may be empty."""
    patch.setenv("HOME", str(home))
    patch.setenv("USERPROFILE", str(home))
    for variable, folder in XDG_FOLDERS.items():
        patch.setenv(variable, str(home / folder))


@pytest.fixture(scope="session", autouse=True)
def session_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The home of whatever lives longer than a test."""
    home = tmp_path_factory.mktemp("session_home")
    with pytest.MonkeyPatch.context() as patch:
        move_home(patch, home)
        yield home


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own, empty home folder."""
    folder = tmp_path_factory.mktemp("home")
    move_home(monkeypatch, folder)
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The same thread count everywhere; models this small are several times faster on one."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def bundled() -> SharedModel:
    """The bundled model, held so that it is loaded once; read when it is first used."""
    return open_model("bundled")


@pytest.fixture
def rows_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each pass over single tokens had."""
    rows: list[int] = []
    states = TransformersEngine.states

    def seen(self: TransformersEngine, ids: torch.Tensor, *args: Any) -> torch.Tensor:
        if ids.shape[1] == 1:
            rows.append(ids.shape[0])
        return states(self, ids, *args)

    monkeypatch.setattr(TransformersEngine, "states", seen)
    return rows


@pytest.fixture(scope="session")
def bundled_gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model as a GGUF file."""
    from dev.bundled_model.export_gguf import export
    from latent_agent.model.places import bundled_path

    path = tmp_path_factory.mktemp("gguf") / "bundled.gguf"
    export(bundled_path(), path)
    return path


@pytest.fixture
def open_folder(tmp_path: Path) -> Path:
    """A folder that others may look into."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == Path.home().owner() and folder != Path("/"):
            folder.chmod(folder.stat().st_mode | 0o055)
        if folder.name.startswith("pytest-of"):
            break
    return tmp_path


@pytest.fixture(scope="session")
def database_server(session_home: Path) -> Iterator[Server]:
    """A real PostgreSQL with pgvector."""
    with served() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Places in SQLite's files, then in schemas of a server."""
    yield from places(request, tmp_path)
