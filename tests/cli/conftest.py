"""Memories of the bundled model."""

import shutil
from pathlib import Path

import pytest

from tests.support.night_commands import fill


@pytest.fixture(scope="session")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A memory with what a day leaves."""
    path = tmp_path_factory.mktemp("day") / "memory.sqlite3"
    fill(path)
    return path


@pytest.fixture
def memory(day: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copy(day, tmp_path / "memory.sqlite3"))
