"""Memories of the bundled model."""

import shutil
import signal
from collections.abc import Iterator
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


@pytest.fixture
def interruptible() -> Iterator[None]:
    """As in the foreground: a shell's background job ignores the signal from its beginning."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
