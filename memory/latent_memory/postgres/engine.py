"""Connections to a server, each set up alike."""

from typing import Any

from pgvector.psycopg import register_vector
from sqlalchemy import URL, Engine, NullPool, create_engine, event

from latent_memory.postgres.errors import WAIT_SECONDS

LOCKS = 0x4C61744D  # the first number of our advisory locks; the letters "LatM"
WRITER, NIGHT, GRAPH, EXTENSION = LOCKS, LOCKS + 1, LOCKS + 2, LOCKS + 3
HERE = "hashtext(current_schema())"  # their second number: a schema is a memory; or a shelf's

CANDIDATES = 100  # that a graph search holds at once, and so the most that it is asked for

# Seconds, and milliseconds. A silent connection is tried every now and then by both ends: what a
# host without power holds is free within a minute, and no router takes a night's for dead.
_PATIENCE = {
    "connect_timeout": "5",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "30",
    "keepalives_interval": "5",
    "keepalives_count": "3",
}
SIGNS_OF_LIFE = """
SET tcp_keepalives_idle = 30;
SET tcp_keepalives_interval = 5;
SET tcp_keepalives_count = 3
"""
SETTINGS = f"""
{SIGNS_OF_LIFE};
SET lock_timeout = '{WAIT_SECONDS}s';
SET jit = off;
SET maintenance_work_mem = '256MB';
SET hnsw.ef_search = {CANDIDATES};
SET hnsw.iterative_scan = strict_order
"""


def make_engine(url: URL) -> Engine:
    """Return an engine for a memory that is there.

    A connection that was lost is noticed when it is taken from the pool, and opened again.
    """
    engine = create_engine(
        _patient(url),
        pool_size=5,
        max_overflow=15,
        pool_timeout=WAIT_SECONDS,
        pool_pre_ping=True,
        hide_parameters=True,
    )

    @event.listens_for(engine, "connect")
    def connected(raw: Any, _: object) -> None:
        raw.autocommit = True
        raw.execute(SETTINGS)
        register_vector(raw)
        raw.autocommit = False

    return engine


def make_single_engine(url: URL, **options: Any) -> Engine:
    """Return an engine whose connections are closed after use, for a look or a long lock."""
    return create_engine(_patient(url), poolclass=NullPool, hide_parameters=True, **options)


def _patient(url: URL) -> URL:
    """Say how long a call waits for a host that does not answer, unless the URL says it."""
    return url.update_query_dict({**_PATIENCE, **url.query})
