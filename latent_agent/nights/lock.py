"""One night at a time for each memory, over all processes; the lock of a dead one is free."""

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager

from latent_agent.errors import NightRunningError
from latent_memory.database import Database, NightHeldError


@contextmanager
def night_lock(database: Database) -> Generator[Callable[[], bool]]:
    """Hold the night's lock of a memory; give what says whether it is still held.

    Raises:
        NightRunningError: If it is held; names the holder.
    """
    with ExitStack() as held:
        try:
            is_held = held.enter_context(database.night_lock())
        except NightHeldError as holder:
            raise NightRunningError(
                f"one night at a time may run on {str(database.place)!r}, but {holder} runs one; "
                "wait until it ends"
            ) from None
        yield is_held
