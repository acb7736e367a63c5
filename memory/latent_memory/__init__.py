"""The memory of `latent_agent`: traces in SQLite or PostgreSQL, with an index for recall.

It knows arrays, not models: it imports neither torch nor LangChain, and never `latent_agent`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from latent_memory.errors import (
    DamageError,
    FeedbackError,
    ImportFileError,
    LatentMemoryError,
    LocationError,
    RateError,
    ReadOnlyError,
    SchemaError,
    StorageError,
    TraceError,
)

if TYPE_CHECKING:
    from latent_memory.erasure_log import Erasure
    from latent_memory.feedback.counts import Ratings, RatingsOfDay
    from latent_memory.feedback.values import (
        Feedback,
        GivenFeedback,
        Rating,
    )
    from latent_memory.index.ivf_layout import IndexSettings
    from latent_memory.listing import ShelfInfo, Stats, TraceInfo
    from latent_memory.locations import default_location
    from latent_memory.retention.awaited import Awaited
    from latent_memory.retention.limits import Limits
    from latent_memory.retention.upkeep import Tidied
    from latent_memory.schema import Migration, migrate
    from latent_memory.shelf_names import FEEDBACK, UNRATED
    from latent_memory.store import LatentMemory
    from latent_memory.trace import Neighbour, Shelf, StoredTrace, Trace
    from latent_memory.validation import MAX_CONVERSATION, MAX_NAME
    from latent_memory.verify import Problem

_LATE = {
    "erasure_log": ("Erasure",),
    "retention.awaited": ("Awaited",),
    "feedback.counts": ("Ratings", "RatingsOfDay"),
    "feedback.values": ("Feedback", "GivenFeedback", "Rating"),
    "index.ivf_layout": ("IndexSettings",),
    "listing": ("ShelfInfo", "Stats", "TraceInfo"),
    "locations": ("default_location",),
    "retention.limits": ("Limits",),
    "retention.upkeep": ("Tidied",),
    "schema": ("Migration", "migrate"),
    "shelf_names": ("FEEDBACK", "UNRATED"),
    "store": ("LatentMemory",),
    "trace": ("Neighbour", "Shelf", "StoredTrace", "Trace"),
    "validation": ("MAX_CONVERSATION", "MAX_NAME"),
    "verify": ("Problem",),
}

__all__ = [
    "FEEDBACK",
    "MAX_CONVERSATION",
    "MAX_NAME",
    "UNRATED",
    "Awaited",
    "DamageError",
    "Erasure",
    "Feedback",
    "FeedbackError",
    "GivenFeedback",
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
    "Rating",
    "Ratings",
    "RatingsOfDay",
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
    """Import a public name when it is first used: SQLAlchemy and FAISS take long."""
    for module, names in _LATE.items():
        if name in names:
            return getattr(import_module(f"latent_memory.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
