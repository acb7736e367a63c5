"""PostgreSQL's errors in our words; no password is in any of them."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, InternalError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from latent_memory.errors import (
    DamageError,
    LatentMemoryError,
    LocationError,
    ReadOnlyError,
    StorageError,
)
from latent_memory.locations import shown

_NO_TYPES = "vector type not found"  # says the driver of pgvector
WAIT_SECONDS = 30  # for what another session keeps locked

_KINDS: dict[str, tuple[type[LatentMemoryError], str]] = {
    "55P03": (
        StorageError,
        f"a memory must be free within {WAIT_SECONDS} seconds, or what is left of a call's "
        "timeout, but another writer kept its lock on {where}; nothing was changed; try again once "
        "it has finished",
    ),
    "28": (
        LocationError,
        "a memory's server must let its user in, got {where}; check the user, and give the "
        "password in PGPASSWORD, in a .pgpass file or in the URL",
    ),
    "3D": (
        LocationError,
        "a memory's database must be there, got {where}; make it with: createdb, or name another",
    ),
    "42501": (
        ReadOnlyError,
        "a memory's user must have the right to do what is asked, got {where}; grant it, or open "
        "the memory with mode='read'",
    ),
    "25006": (
        ReadOnlyError,
        "a memory must be writable to be changed, got {where}; name the primary server, or open "
        "the memory with mode='read'",
    ),
    "42P01": (
        LocationError,
        "a memory's tables must stay where they are, got {where}; restore them, or name another "
        "database",
    ),
    "XX00": (
        DamageError,
        "a memory must be a sound database, got {where}; restore a backup",
    ),
    "53": (
        StorageError,
        "a memory's server must have the means for what is asked, got {where}; nothing was "
        "changed; give it room, memory or connections",
    ),
}
_UNSEEN = (
    "a memory's server must have pgvector on its search path, got {where}; add the schema that it "
    "is in to the URL: ?options=-csearch_path%3DSCHEMA,public"
)
_UNABLE = (
    "a memory's server must be able to do what is asked, got {where}; nothing was changed; try "
    "again, and see the server's own settings if it does not pass"
)
_LOST = (
    "a memory's server must answer, got {where}; what was being written may be lost; it is tried "
    "again with the next call"
)


@contextmanager
def translated(url: URL) -> Generator[None]:
    """Turn the driver's errors into ours."""
    try:
        yield
    except PoolTimeoutError as error:
        raise StorageError(
            f"a memory must have a connection free within {WAIT_SECONDS} seconds, but too many "
            f"threads of this process use {str(shown(url))!r}; nothing was changed; try again"
        ) from error
    except DBAPIError as error:
        ours = _ours(error, url)
        if ours is None:
            raise
        raise ours from error


def _ours(error: DBAPIError, url: URL) -> LatentMemoryError | None:
    said = " ".join(str(error.orig).split())
    if url.password:
        said = said.replace(str(url.password), "***")
    where = f"{str(shown(url))!r} ({said})"
    state = getattr(error.orig, "sqlstate", None) or ""
    for begin, (kind, text) in _KINDS.items():
        if state.startswith(begin):
            return kind(text.format(where=where))
    if _NO_TYPES in said:
        return LocationError(_UNSEEN.format(where=where))
    # Class 08: connection. 57P: the server is stopped, or starts. Without a state nobody answered.
    if error.connection_invalidated or not state or state.startswith(("08", "57P")):
        return _refused(said, where) or StorageError(_LOST.format(where=where))
    if isinstance(error, (OperationalError, InternalError)):  # a time limit, a deadlock, ...
        return StorageError(_UNABLE.format(where=where))
    return None


def _refused(said: str, where: str) -> LocationError | None:
    """Return what is wrong with a login; libpq tells it in words alone."""
    for words, begin in (
        ('FATAL: role "', "28"),
        ("authentication failed", "28"),
        ("no pg_hba.conf entry", "28"),
        ("no password supplied", "28"),
        ("does not exist", "3D"),
    ):
        if words in said:
            return LocationError(_KINDS[begin][1].format(where=where))
    return None
