"""The memory of `latent_agent`: traces in SQLite, with a FAISS index for recall.

It knows arrays, not models: it imports neither torch nor LangChain, and never `latent_agent`.
"""

from latent_memory.checks import MAX_CONVERSATION, MAX_NAME
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
from latent_memory.layout import IndexSettings
from latent_memory.limits import Limits
from latent_memory.listing import ShelfInfo, TraceInfo
from latent_memory.places import default_location
from latent_memory.record import Erasure
from latent_memory.schema import Migration, migrate
from latent_memory.stats import Stats
from latent_memory.store import LatentMemory
from latent_memory.trace import Neighbour, Shelf, StoredTrace, Trace
from latent_memory.upkeep import Tidied
from latent_memory.verify import Problem

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
