"""The tables of priors and nights as the newest revision in ``latent_migrations`` leaves them."""

from sqlalchemy import Column, Float, ForeignKey, Index, Integer, Table, Text

from latent_memory.tables import metadata


def _shelf() -> Column[int]:
    """Whose prior or night it is: it goes when the shelf is forgotten."""
    return Column("shelf", Integer, ForeignKey("shelves.id", ondelete="CASCADE"), nullable=False)


nights = Table(
    "nights",
    metadata,
    Column("id", Integer, primary_key=True),
    _shelf(),
    Column("started", Integer, nullable=False),  # microseconds since 1970, UTC
    Column("seconds", Float),  # NULL while it runs
    Column("seed", Integer, nullable=False),
    Column("last", Integer, nullable=False),  # the newest trace that it read; 0: interrupted
    Column("inputs", Text, nullable=False),  # JSON
    Column("losses", Text, nullable=False),  # JSON
    Column("gate", Text, nullable=False),  # JSON
    Column("verdict", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Index("nights_by_shelf", "shelf", "id"),
    sqlite_autoincrement=True,
)

priors = Table(
    "priors",
    metadata,
    Column("id", Integer, primary_key=True),  # the version
    _shelf(),
    Column("night", Integer, nullable=False),
    Column("created", Integer, nullable=False),
    Column("file", Text),  # a name in the priors' folder; NULL before it is whole, or once pruned
    Column("checksum", Text),
    Column("positions", Integer, nullable=False),  # N
    # The order of publications, not their time, says which is active: clocks jump.
    Column("published", Integer),
    Column("published_at", Integer),
    Column("withdrawn", Text),  # why it may not be active any more
    Index("priors_by_shelf", "shelf", "published"),
    sqlite_autoincrement=True,
)

# What a prior learnt from: a deletion from this range, later than ``deletion``, makes it stale.
# No foreign key to shelves: a shelf that is gone must be seen to be gone, unless all that was
# learnt from there was evicted: then the row goes.
sources = Table(
    "sources",
    metadata,
    Column("prior", Integer, ForeignKey("priors.id", ondelete="CASCADE"), primary_key=True),
    Column("shelf", Integer, primary_key=True),
    Column("first", Integer, nullable=False),
    Column("last", Integer, nullable=False),
    Column("deletion", Integer, nullable=False),
)
