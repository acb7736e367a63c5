"""The settings of a soak."""

from dataclasses import dataclass
from pathlib import Path

NAMESPACES = ("anna", "ben", "../cleo", "dora'; DROP TABLE traces; --")
MODEL = "bundled"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A soak.

    Attributes:
        seconds: How long actions are begun; those at work then are waited for.
        threads: How many at once.
        folder: An empty or new one, which holds the memory.
        seed: Of what each thread does, in which order.
    """

    seconds: float
    threads: int
    folder: Path
    seed: int

    @property
    def database(self) -> Path:
        """Where the memory lies."""
        return self.folder / "memory" / "soak.sqlite3"
