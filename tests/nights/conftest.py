"""Memories of the small world: empty, after one published night, and after two."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from latent_agent.nights.night import consolidate
from latent_memory import LatentMemory
from tests.support.night_world import day, job, open_at
from tests.support.servers import Place, places


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Places in SQLite's files, and in schemas of a server: a second time, nights take long."""
    yield from places(request, tmp_path)


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with open_at(tmp_path) as opened:
        yield opened


@pytest.fixture(scope="session")
def night_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("night")
    with open_at(folder) as opened:
        assert consolidate(job(opened, day(opened))).verdict == "published"
    return folder


@pytest.fixture(scope="session")
def two_nights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two_nights")
    with open_at(folder) as opened:
        for start, colours in ((0, ("red", "blue")), (200, ("green", "black"))):
            shelf = day(opened, start=start, colours=colours)
            assert consolidate(job(opened, shelf)).verdict == "published"
    return folder


@pytest.fixture
def published(night_folder: Path, tmp_path: Path) -> Iterator[LatentMemory]:
    """After one night that published prior 1: `day(memory)`, traces 1 to 120."""
    with open_at(shutil.copytree(night_folder, tmp_path / "night")) as opened:
        yield opened


@pytest.fixture
def published_twice(two_nights_folder: Path, tmp_path: Path) -> Iterator[LatentMemory]:
    """After two nights: the first prior read traces 1 to 120, the second 1 to 240."""
    with open_at(shutil.copytree(two_nights_folder, tmp_path / "two_nights")) as opened:
        yield opened
