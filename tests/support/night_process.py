"""A process whose children run nights, to be killed.

``python -m tests.support.night_process PATH``.

For each line on stdin it forks a child and writes its id; once the child is gone, ``gone``. The
child adds a few traces, so that there is something new, runs a night, and begins again.
"""

import os
import sys
from itertools import count
from pathlib import Path

from latent_agent.nights.night import consolidate
from latent_memory import LatentMemory
from tests.support.night_world import day, job, model


def run_nights(path: Path, start: int) -> None:
    """Run nights until killed."""
    with LatentMemory(path) as memory:
        for number in count():
            consolidate(job(memory, day(memory, 8, start=start + 8 * number)))


def main(path: Path) -> None:
    """Fork a child for each line on stdin."""
    model().engine()
    for number, _ in enumerate(sys.stdin, 1):
        child = os.fork()
        if child == 0:
            run_nights(path, 10_000 * number)
        print(child, flush=True)  # noqa: T201
        os.waitpid(child, 0)
        print("gone", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
