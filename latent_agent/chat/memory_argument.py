"""The argument that names a memory."""

from typing import Annotated, Any

from pydantic import BeforeValidator


def _discreet(memory: object) -> object:
    if not isinstance(memory, str) or "://" not in memory:
        return memory
    from latent_memory.locations import discreet  # slow to import, and seldom needed

    return discreet(memory)


MemoryArgument = Annotated[Any, BeforeValidator(_discreet)]
"""What names a memory, as a field; its ``repr`` tells no password."""
