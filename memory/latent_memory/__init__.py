"""The memory of `latent_agent`: traces in SQLite, with a FAISS index for recall.

It knows arrays, not models: it imports neither torch nor LangChain, and never `latent_agent`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from latent_memory.erasure_log import Erasure
    from latent_memory.errors import (
        DamageError,
        ImportFileError,
        LatentMemoryError,
        LocationError,
        RateError,
        ReadOnlyError,
        SchemaError,
        StorageError,
        TraceError,
    )
    from latent_memory.index.ivf_layout import IndexSettings
    from latent_memory.listing import ShelfInfo, Stats, TraceInfo
    from latent_memory.locations import default_location
    from latent_memory.retention.limits import Limits
    from latent_memory.retention.upkeep import Tidied
    from latent_memory.schema import Migration, migrate
    from latent_memory.store import LatentMemory
    from latent_memory.trace import Neighbour, Shelf, StoredTrace, Trace
    from latent_memory.validation import MAX_CONVERSATION, MAX_NAME
    from latent_memory.verify import Problem

_PLACES = {
    "DamageError": "latent_memory.errors",
    "Erasure": "latent_memory.erasure_log",
    "ImportFileError": "latent_memory.errors",
    "IndexSettings": "latent_memory.index.ivf_layout",
    "LatentMemory": "latent_memory.store",
    "LatentMemoryError": "latent_memory.errors",
    "Limits": "latent_memory.retention.limits",
    "LocationError": "latent_memory.errors",
    "MAX_CONVERSATION": "latent_memory.validation",
    "MAX_NAME": "latent_memory.validation",
    "Migration": "latent_memory.schema",
    "Neighbour": "latent_memory.trace",
    "Problem": "latent_memory.verify",
    "RateError": "latent_memory.errors",
    "ReadOnlyError": "latent_memory.errors",
    "SchemaError": "latent_memory.errors",
    "Shelf": "latent_memory.trace",
    "ShelfInfo": "latent_memory.listing",
    "Stats": "latent_memory.listing",
    "StorageError": "latent_memory.errors",
    "StoredTrace": "latent_memory.trace",
    "Tidied": "latent_memory.retention.upkeep",
    "Trace": "latent_memory.trace",
    "TraceError": "latent_memory.errors",
    "TraceInfo": "latent_memory.listing",
    "default_location": "latent_memory.locations",
    "migrate": "latent_memory.schema",
}

__all__ = [
    "MAX_CONVERSATION",
    "MAX_NAME",
    "DamageError",
    "Erasure",
    "ImportFileError",
    "IndexSettings",
    "LatentMemory",
    "LatentMemoryError",
    "Limits",
    "LocationError",
    "Migration",
    "Neighbour",
    "Problem",
    "RateError",
    "ReadOnlyError",
    "SchemaError",
    "Shelf",
    "ShelfInfo",
    "Stats",
    "StorageError",
    "StoredTrace",
    "Tidied",
    "Trace",
    "TraceError",
    "TraceInfo",
    "default_location",
    "migrate",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: SQLAlchemy and FAISS take long."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)
