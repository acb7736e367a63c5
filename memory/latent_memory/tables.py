"""The tables as the newest revision in ``latent_migrations`` leaves them.

What is large (latents, embeddings, texts) lies in tables of its own, so that listing traces or
scanning embeddings reads little else.
"""

from sqlalchemy import (
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

# Ids and sequence numbers are never used again (AUTOINCREMENT): an index, here or in another
# process, may still know a deleted one.
shelves = Table(
    "shelves",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("namespace", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("reward", Text, nullable=False),
    Column("dimension", Integer, nullable=False),  # of the embeddings
    Column("width", Integer, nullable=False),  # of the latents
    Column("identity", Text, nullable=False),  # random; index snapshots bear it
    Column("generation", Integer, nullable=False),  # of the newest index snapshot
    UniqueConstraint("namespace", "fingerprint", "reward"),
    sqlite_autoincrement=True,
)

traces = Table(
    "traces",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("shelf", Integer, ForeignKey("shelves.id"), nullable=False),
    Column("created", Integer, nullable=False),  # microseconds since 1970, UTC
    Column("score", Float, nullable=False),
    Column("rewards", Text, nullable=False),
    Column("steps", Integer, nullable=False),
    Column("stopped", Text, nullable=False),
    Column("neighbours", Text, nullable=False),
    Column("prior", Text),
    Column("checksum", Integer, nullable=False),  # of all that the trace holds
    Index("traces_by_shelf", "shelf", "id"),
    sqlite_autoincrement=True,
)


# Their rows are emptied when a trace is forgotten, never deleted: a deletion can make SQLite move
# the rows beside it, and what it leaves of a moved row in a page's gap nothing wipes any more.
def _trace() -> Column[int]:
    return Column("trace", Integer, primary_key=True, autoincrement=False)


latents = Table("latents", metadata, _trace(), Column("bytes", LargeBinary, nullable=False))
embeddings = Table("embeddings", metadata, _trace(), Column("vector", LargeBinary, nullable=False))
texts = Table(
    "texts",
    metadata,
    _trace(),
    Column("query", Text),
    Column("answer", Text),
    Column("tokens", Text),  # JSON; they spell the answer's beginning
    Column("conversation", Text),  # see trace.Trace
    Column("settings", Text),
)

# Emptied, with ``trace`` 0, when the trace is forgotten.
feedback = Table(
    "feedback",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("trace", Integer, nullable=False),
    Column("given", Integer, nullable=False),  # microseconds since 1970, UTC
    Column("source", Text, nullable=False),
    Column("score", Float, nullable=False),  # in [0, 1]
    Column("comment", Text),
    Column("correction", Text),
    Index("feedback_by_trace", "trace", "id"),
    sqlite_autoincrement=True,
)

# What the feedback on a trace comes to.
ratings = Table(
    "ratings",
    metadata,
    Column("trace", Integer, primary_key=True, autoincrement=False),
    Column("rated", Integer, nullable=False),  # its copy on the shelf of feedback
    Column("reward", Float, nullable=False),  # effective, in [-1, 0]
    # The feedback whose correction the copy is to begin with; 0: there is none.
    Column("correction", Integer, nullable=False),
    Column("unread", Integer, nullable=False),  # 1: no model has read it yet
    Index("ratings_by_rated", "rated"),
    Index("ratings_by_unread", "unread"),
)

# How feedback finds an answer, and until when one waits for its outcome.
answers = Table(
    "answers",
    metadata,
    Column("trace", Integer, primary_key=True, autoincrement=False),
    Column("run", Text),  # the id of the caller's run that gave the answer
    Column("until", Integer),  # microseconds since 1970, UTC; NULL: it waits for nothing
    Index("answers_by_run", "run"),
    Index("answers_by_until", "until"),
)

# That a trace was deleted, without what it held: other processes' indexes learn of it from here.
deletions = Table(
    "deletions",
    metadata,
    Column("seq", Integer, primary_key=True),
    Column("trace", Integer, nullable=False),
    Column("shelf", Integer, nullable=False),
    Column("deleted", Integer, nullable=False),  # microseconds since 1970, UTC
    # 0: it is to be forgotten. 1: evicted; priors that learnt from it may stay. 2: expired; they
    # may stay until their shelf's next night.
    Column("evicted", Integer, nullable=False, server_default="0"),
    Index("deletions_by_shelf", "shelf", "seq"),
    sqlite_autoincrement=True,
)

# One row, or none: see limits.Limits.
limits = Table(
    "limits",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("capacity", Integer),  # traces a namespace; NULL: no limit
    Column("max_age", Integer),  # seconds
    Column("hourly", Integer),  # new traces a namespace
    Column("total", Integer),  # traces of all namespaces
)

# For Limits.hourly: what was admitted, not what is still there. Rows of the last hour are read.
admissions = Table(
    "admissions",
    metadata,
    Column("shelf", Integer, ForeignKey("shelves.id", ondelete="CASCADE"), primary_key=True),
    Column("minute", Integer, primary_key=True),  # since 1970, UTC
    Column("traces", Integer, nullable=False),
)

# For the operator: that traces were erased, when and why, without whose they were or what they
# held. Outlives namespaces and deletions.
erasures = Table(
    "erasures",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("began", Integer, nullable=False),  # microseconds since 1970, UTC
    Column("ended", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("traces", Integer, nullable=False),
    Column("emptied", Integer, nullable=False),  # of these, whose emptied rows still take space
    sqlite_autoincrement=True,
)


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
