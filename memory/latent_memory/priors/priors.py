"""Which latent priors there are, what each learnt from, and which one is active.

Their weights lie in named files of the memory. The active prior of a shelf is the one that was
published last and is not withdrawn.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, exists, func, select

from latent_memory.database import Database
from latent_memory.erasure_log import FOR_ROOM, WISHED
from latent_memory.errors import LatentMemoryError
from latent_memory.tables import deletions, priors, shelves, sources, traces
from latent_memory.trace import Shelf
from latent_memory.trace_rows import ON_SHELF, extreme, from_time, names, to_shelf


class UnknownPriorError(LatentMemoryError):
    """There is no prior of this version, or it cannot be made active."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A stretch of a shelf's traces that a prior learns from.

    Attributes:
        shelf: Number of the shelf.
        first: Its oldest trace that counts; 0 if there is none.
        last: Its newest.
        deletion: The newest deletion from it so far; a later one makes the prior stale.
    """

    shelf: int
    first: int
    last: int
    deletion: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorInfo:
    """A prior as the database knows it.

    Attributes:
        version: Its number, never used again.
        shelf: Whose it is.
        night: The night that trained it.
        created: When (UTC).
        file: Name of its file; None if it was never finished, or has been pruned.
        checksum: Of its file.
        positions: How many latents it corrects (N).
        first_trace: The oldest of its shelf's traces that it may have learnt from.
        last_trace: The newest.
        published: Its place in the order of publications; None if it never was.
        published_at: When it was published (UTC).
        withdrawn: Why it may not be active.
        stale: Whether a trace that it may have learnt from was forgotten since, or has expired.
        forgotten: Whether one was forgotten: a night is due at once. Expiry alone makes none due.
    """

    version: int
    shelf: Shelf
    night: int
    created: datetime
    file: str | None
    checksum: str | None
    positions: int
    first_trace: int
    last_trace: int
    published: int | None
    published_at: datetime | None
    withdrawn: str | None
    stale: bool
    forgotten: bool


def kept_name(shelf: int | str) -> str:
    """Return the name of the file of what an interrupted night of a shelf has done."""
    return f"night-{shelf}.kept"


def kept_names(database: Database) -> Sequence[str]:
    """Return the names of all such files that there are."""
    names = (file.name for file in database.files.list())
    return sorted(name for name in names if fnmatchcase(name, kept_name("*")))


ERASED_SINCE: ColumnElement[bool] = (
    (deletions.c.shelf == sources.c.shelf)
    & deletions.c.trace.between(sources.c.first, sources.c.last)
    & (deletions.c.seq > sources.c.deletion)
)
"""Of a deletion and a prior's source: that a prior learnt from the trace that was erased."""


def erased_from(why: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a trace of one of a prior's sources was erased for such a reason."""
    return exists().where(ERASED_SINCE, why)


def _lacks(why: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether a trace that a prior may have learnt from was erased for such a reason."""
    return exists().where(
        sources.c.prior == priors.c.id,
        ~exists().where(shelves.c.id == sources.c.shelf) | erased_from(why),
    )


FORGOTTEN = _lacks(deletions.c.evicted == WISHED)
STALE = _lacks(deletions.c.evicted != FOR_ROOM)
_OWN = sources.alias()
_WHOLE = (
    select(
        priors,
        *(shelves.c.namespace, shelves.c.fingerprint, shelves.c.reward),
        *(_OWN.c.first.label("first_trace"), _OWN.c.last.label("last_trace")),
        STALE.label("stale"),
        FORGOTTEN.label("forgotten"),
    )
    .join(shelves, shelves.c.id == priors.c.shelf)
    .join(_OWN, (_OWN.c.prior == priors.c.id) & (_OWN.c.shelf == priors.c.shelf))
)
_STANDING = priors.c.published.is_not(None) & priors.c.withdrawn.is_(None)
_ACTIVE = _WHOLE.where(ON_SHELF, _STANDING).order_by(priors.c.published.desc()).limit(1)
_SOURCE = select(
    shelves.c.id.label("shelf"),
    extreme(func.min(traces.c.id), traces).label("first"),
    extreme(func.max(traces.c.id), traces).label("last"),
    extreme(func.max(deletions.c.seq), deletions).label("deletion"),
).where(ON_SHELF)


def active_prior(database: Database, shelf: Shelf) -> PriorInfo | None:
    """Return the active prior on a shelf, if there is one."""
    with database.read() as connection:
        return read_active(connection, shelf)


def find_prior(database: Database, version: int) -> PriorInfo:
    """Return a prior by its version.

    Raises:
        UnknownPriorError: If there is none.
    """
    with database.read() as connection:
        return read_prior(connection, version)


def list_priors(
    database: Database, *, namespace: str | None = None, shelf: Shelf | None = None
) -> list[PriorInfo]:
    """List priors, newest first."""
    wanted = _WHOLE.order_by(priors.c.id.desc())
    if namespace is not None:
        wanted = wanted.where(shelves.c.namespace == namespace)
    if shelf is not None:
        wanted = wanted.where(ON_SHELF).params(names(shelf))
    with database.read() as connection:
        return [_info(row) for row in connection.execute(wanted).mappings()]


def source_of(database: Database, shelf: Shelf) -> Source | None:
    """Return what lies on a shelf now, to learn from; None if nothing does."""
    with database.read() as connection:
        row = connection.execute(_SOURCE, names(shelf)).mappings().one_or_none()
    return None if row is None else Source(**row)


def lacks_traces(database: Database, learnt_from: Sequence[Source]) -> bool:
    """Whether a trace of these stretches was forgotten since, or has expired."""
    with database.read() as connection:
        return any(
            not connection.scalar(select(exists().where(shelves.c.id == source.shelf)))
            or connection.scalar(
                select(
                    exists().where(
                        deletions.c.shelf == source.shelf,
                        deletions.c.trace.between(source.first, source.last),
                        deletions.c.seq > source.deletion,
                        deletions.c.evicted != FOR_ROOM,
                    )
                )
            )
            for source in learnt_from
        )


def read_prior(connection: Connection, version: int) -> PriorInfo:
    """Return a prior by its version; raise UnknownPriorError if there is none."""
    prior = _first(connection, _WHOLE.where(priors.c.id == version))
    if prior is None:
        raise UnknownPriorError(
            f"there must be a prior of that version, got {version!r}; see: latent-agent prior list"
        )
    return prior


def read_active(connection: Connection, shelf: Shelf) -> PriorInfo | None:
    """Return the active prior on a shelf, if there is one."""
    return _first(connection, _ACTIVE.params(names(shelf)))


def _first(connection: Connection, wanted: Select[Any]) -> PriorInfo | None:
    row = connection.execute(wanted).mappings().one_or_none()
    return None if row is None else _info(row)


def _info(row: RowMapping) -> PriorInfo:
    published_at = row["published_at"]
    return PriorInfo(
        version=row["id"],
        shelf=to_shelf(row),
        created=from_time(row["created"]),
        published_at=None if published_at is None else from_time(published_at),
        stale=bool(row["stale"]),
        forgotten=bool(row["forgotten"]),
        **{name: row[name] for name in _PLAIN},
    )


_PLAIN = (
    *("night", "file", "checksum", "positions", "first_trace", "last_trace"),
    *("published", "withdrawn"),
)
