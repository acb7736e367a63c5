"""The argument that names a memory: no password in it is shown."""

from typing import Any


def discreet_arguments(values: Any) -> Any:
    """Return arguments whose memory tells no password, also in an error about another of them."""
    if not isinstance(values, dict) or not _may_tell(values.get("memory")):
        return values
    from latent_memory.locations import discreet  # slow to import, and seldom needed

    return {**values, "memory": discreet(values["memory"])}


def shown_memory(memory: object) -> object:
    """Return what names a memory as the record of a call may hold it."""
    if isinstance(memory, str) and not _may_tell(memory):
        return memory
    from sqlalchemy import URL

    from latent_memory.locations import discreet, shown

    found = discreet(memory)
    return shown(found) if isinstance(found, URL) else found


def _may_tell(memory: object) -> bool:
    return isinstance(memory, str) and "://" in memory
