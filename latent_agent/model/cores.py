"""How many cores there are to compute on."""

import os


def cores() -> int:
    """Return how many cores of the CPU this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not of every system
        return os.cpu_count() or 1
