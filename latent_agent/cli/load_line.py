"""One line on stderr while a command loads a model."""

import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from latent_agent.model.places import bundled_path


@contextmanager
def load_line(name: str, details: str) -> Generator[None]:
    """Say what is loaded, and how long it took once it is."""
    if Path(name).is_absolute():
        name = "bundled" if Path(name) == bundled_path() else Path(name).name
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(
        f"loading {', '.join(filter(None, (name, details)))} ...", end="", markup=False, style="dim"
    )
    began = time.monotonic()
    try:
        yield
    except BaseException:
        console.print()
        raise
    console.print(f" {time.monotonic() - began:.1f} s", style="dim")
