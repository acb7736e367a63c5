"""The tables as the newest revision in ``latent_migrations`` leaves them.

What is large (latents, embeddings, texts) lies in tables of its own, so that listing traces or
scanning embeddings reads little else.
"""

from sqlalchemy import (
    BigInteger,
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

from latent_memory.postgres.exact_text import ExactText

metadata = MetaData()

# SQLite numbers the rows of INTEGER keys alone; PostgreSQL's INTEGER ends at 2**31.
Whole = BigInteger().with_variant(Integer(), "sqlite")
Name = Text().with_variant(Text(collation="C"), "postgresql")  # sorted as in SQLite, by code point
Words = Text().with_variant(ExactText(), "postgresql")

# Ids and sequence numbers are never used again (AUTOINCREMENT): an index, here or in another
# process, may still know a deleted one.
shelves = Table(
    "shelves",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("namespace", Name, nullable=False),
    Column("fingerprint", Name, nullable=False),
    Column("reward", Name, nullable=False),
    Column("dimension", Whole, nullable=False),  # of the embeddings
    Column("width", Whole, nullable=False),  # of the latents
    Column("identity", Text, nullable=False),  # random; index snapshots bear it
    Column("generation", Whole, nullable=False),  # of the newest index snapshot
    UniqueConstraint("namespace", "fingerprint", "reward"),
    sqlite_autoincrement=True,
)

traces = Table(
    "traces",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("shelf", Whole, ForeignKey("shelves.id"), nullable=False),
    Column("created", Whole, nullable=False),  # microseconds since 1970, UTC
    Column("score", Float, nullable=False),
    Column("rewards", Text, nullable=False),
    Column("steps", Whole, nullable=False),
    Column("stopped", Words, nullable=False),
    Column("neighbours", Text, nullable=False),
    Column("prior", Words),
    Column("checksum", Whole, nullable=False),  # of all that the trace holds
    Index("traces_by_shelf", "shelf", "id"),
    sqlite_autoincrement=True,
)


# Their rows are emptied when a trace is forgotten, never deleted: a deletion can make SQLite move
# the rows beside it, and what it leaves of a moved row in a page's gap nothing wipes any more.
def _trace() -> Column[int]:
    return Column("trace", Whole, primary_key=True, autoincrement=False)


latents = Table("latents", metadata, _trace(), Column("bytes", LargeBinary, nullable=False))
embeddings = Table("embeddings", metadata, _trace(), Column("vector", LargeBinary, nullable=False))
texts = Table(
    "texts",
    metadata,
    _trace(),
    Column("query", Words),
    Column("answer", Words),
    Column("tokens", Text),  # JSON; they spell the answer's beginning
    Column("conversation", Words),  # see trace.Trace
    Column("settings", Words),
)

# Emptied, with ``trace`` 0, when the trace is forgotten.
feedback = Table(
    "feedback",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("trace", Whole, nullable=False),
    Column("given", Whole, nullable=False),  # microseconds since 1970, UTC
    Column("source", Text, nullable=False),
    Column("score", Float, nullable=False),  # in [0, 1]
    Column("comment", Words),
    Column("correction", Words),
    Index("feedback_by_trace", "trace", "id"),
    sqlite_autoincrement=True,
)

# What the feedback on a trace comes to.
ratings = Table(
    "ratings",
    metadata,
    Column("trace", Whole, primary_key=True, autoincrement=False),
    Column("rated", Whole, nullable=False),  # its copy on the shelf of feedback
    Column("reward", Float, nullable=False),  # effective, in [-1, 0]
    # The feedback whose correction the copy is to begin with; 0: there is none.
    Column("correction", Whole, nullable=False),
    Column("unread", Whole, nullable=False),  # 1: no model has read it yet
    Index("ratings_by_rated", "rated"),
    Index("ratings_by_unread", "unread"),
)

# How feedback finds an answer, and until when one waits for its outcome.
answers = Table(
    "answers",
    metadata,
    Column("trace", Whole, primary_key=True, autoincrement=False),
    Column("run", Words),  # the id of the caller's run that gave the answer
    Column("until", Whole),  # microseconds since 1970, UTC; NULL: it waits for nothing
    Index("answers_by_run", "run"),
    Index("answers_by_until", "until"),
)

# That a trace was deleted, without what it held: other processes' indexes learn of it from here.
deletions = Table(
    "deletions",
    metadata,
    Column("seq", Whole, primary_key=True),
    Column("trace", Whole, nullable=False),
    Column("shelf", Whole, nullable=False),
    Column("deleted", Whole, nullable=False),  # microseconds since 1970, UTC
    # 0: it is to be forgotten. 1: evicted; priors that learnt from it may stay. 2: expired; they
    # may stay until their shelf's next night.
    Column("evicted", Whole, nullable=False, server_default="0"),
    Index("deletions_by_shelf", "shelf", "seq"),
    sqlite_autoincrement=True,
)

# One row, or none: see limits.Limits.
limits = Table(
    "limits",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("capacity", Whole),  # traces a namespace; NULL: no limit
    Column("max_age", Whole),  # seconds
    Column("hourly", Whole),  # new traces a namespace
    Column("total", Whole),  # traces of all namespaces
)

# For Limits.hourly: what was admitted, not what is still there. Rows of the last hour are read.
admissions = Table(
    "admissions",
    metadata,
    Column("shelf", Whole, ForeignKey("shelves.id", ondelete="CASCADE"), primary_key=True),
    Column("minute", Whole, primary_key=True),  # since 1970, UTC
    Column("traces", Whole, nullable=False),
)

# For the operator: that traces were erased, when and why, without whose they were or what they
# held. Outlives namespaces and deletions.
erasures = Table(
    "erasures",
    metadata,
    Column("id", Whole, primary_key=True),
    Column("began", Whole, nullable=False),  # microseconds since 1970, UTC
    Column("ended", Whole, nullable=False),
    Column("reason", Text, nullable=False),
    Column("traces", Whole, nullable=False),
    Column("emptied", Whole, nullable=False),  # of these, whose emptied rows still take space
    sqlite_autoincrement=True,
)


def _shelf() -> Column[int]:
    """Whose prior or night it is: it goes when the shelf is forgotten."""
    return Column("shelf", Whole, ForeignKey("shelves.id", ondelete="CASCADE"), nullable=False)


nights = Table(
    "nights",
    metadata,
    Column("id", Whole, primary_key=True),
    _shelf(),
    Column("started", Whole, nullable=False),  # microseconds since 1970, UTC
    Column("seconds", Float),  # NULL while it runs
    Column("seed", Whole, nullable=False),
    Column("last", Whole, nullable=False),  # the newest trace that it read; 0: interrupted
    Column("inputs", Text, nullable=False),  # JSON
    Column("losses", Text, nullable=False),  # JSON
    Column("gate", Text, nullable=False),  # JSON
    Column("verdict", Text, nullable=False),
    Column("reason", Words, nullable=False),
    Index("nights_by_shelf", "shelf", "id"),
    sqlite_autoincrement=True,
)

priors = Table(
    "priors",
    metadata,
    Column("id", Whole, primary_key=True),  # the version
    _shelf(),
    Column("night", Whole, nullable=False),
    Column("created", Whole, nullable=False),
    Column("file", Text),  # a name in the priors' folder; NULL before it is whole, or once pruned
    Column("checksum", Text),
    Column("positions", Whole, nullable=False),  # N
    # The order of publications, not their time, says which is active: clocks jump.
    Column("published", Whole),
    Column("published_at", Whole),
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
    Column("prior", Whole, ForeignKey("priors.id", ondelete="CASCADE"), primary_key=True),
    Column("shelf", Whole, primary_key=True),
    Column("first", Whole, nullable=False),
    Column("last", Whole, nullable=False),
    Column("deletion", Whole, nullable=False),
)
