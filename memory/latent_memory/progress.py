"""Progress of long work."""

from collections.abc import Callable

# Called with how much is done, and of how much in all.
Progress = Callable[[int, int], None]
