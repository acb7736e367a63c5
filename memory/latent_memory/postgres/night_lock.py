"""The night's lock on a server: an advisory lock, which falls with its session."""

import os
import socket
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial

from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import SQLAlchemyError

from latent_memory.database import NightHeldError
from latent_memory.postgres.engine import HERE, NIGHT, SIGNS_OF_LIFE, make_single_engine
from latent_memory.postgres.errors import translated

_LONGEST = 63  # bytes of a session's name
_TAKE = text(f"SELECT pg_try_advisory_lock({NIGHT}, {HERE})")
_GIVE = text(f"SELECT pg_advisory_unlock({NIGHT}, {HERE})")
_OURS = text(
    "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND granted "
    f"AND pid = pg_backend_pid() AND classid::bigint = {NIGHT})"
)
_SIGN = text("SELECT set_config('application_name', :who, false)")
_HOLDER = text(
    f"""
    SELECT a.application_name, a.backend_start
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND l.classid::bigint = {NIGHT}
    AND l.objid::bigint = ({HERE}::bigint & 4294967295)
    """
)


@contextmanager
def hold(url: URL) -> Generator[Callable[[], bool]]:
    """Hold the lock, by a session of its own; see ``Database.night_lock``."""
    engine = make_single_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with translated(url):
            connection = engine.connect()
        with connection:
            with translated(url):
                connection.exec_driver_sql(f"SET idle_session_timeout = 0; {SIGNS_OF_LIFE}")
                if not connection.scalar(_TAKE):
                    raise NightHeldError(_holder(connection))
                who = f"process {os.getpid()} on {socket.gethostname()}"
                connection.execute(_SIGN, {"who": who.encode()[:_LONGEST].decode(errors="ignore")})
            try:
                yield partial(_is_ours, connection)
            finally:
                with suppress(SQLAlchemyError):  # where the session is lost, so is the lock
                    connection.execute(_GIVE)  # at once: a closed session's falls a moment later
    finally:
        engine.dispose()


def is_held(connection: Connection) -> bool:
    """Whether a session holds the lock."""
    return connection.execute(_HOLDER).first() is not None


def _is_ours(connection: Connection) -> bool:
    with suppress(SQLAlchemyError):
        return bool(connection.scalar(_OURS))
    return False


def _holder(connection: Connection) -> str:
    row = connection.execute(_HOLDER).first()
    if row is None or not row.application_name or row.backend_start is None:
        return "another process"
    return f"{row.application_name} (since {row.backend_start.isoformat(timespec='seconds')})"
