"""Where a memory on a server lies, or is to lie."""

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from latent_memory.database import Address, Database, Guard
from latent_memory.errors import LocationError
from latent_memory.locations import shown
from latent_memory.postgres.database import PostgresDatabase
from latent_memory.postgres.engine import EXTENSION, make_single_engine
from latent_memory.postgres.errors import translated
from latent_migrations import schema_of

OLDEST = 140000  # of the server, as it numbers itself
OLDEST_VECTOR = (0, 8)  # of pgvector: the first that goes on looking where a filter leaves little
_MARK = "A memory of latent-agent"
_HAS = text("SELECT extversion FROM pg_extension WHERE extname = 'vector'")
_MAY_HAVE = text("SELECT default_version FROM pg_available_extensions WHERE name = 'vector'")


class ServerAddress(Address):
    """The address of a database on a server; its first schema on the search path is the memory."""

    def __init__(self, url: URL) -> None:
        self.url, self.place = url, shown(url)

    def make(self) -> None:
        """Let an empty database have pgvector; the database itself must be there."""
        with self._connected() as connection:
            self._require_server(connection)
            self._require_unicode(connection)
            schema = schema_of(connection)
            if schema is None:
                raise LocationError(
                    "a memory must have a schema to lie in, but no schema of the search path is "
                    f"in {str(self.place)!r}; make it with: CREATE SCHEMA"
                )
            if not inspect(connection).get_table_names(schema):
                self._create_vector(connection)

    def is_writable(self) -> bool:
        """Whether the server takes writes, and ours where there are tables already."""
        with self._connected() as connection:
            if connection.scalar(text("SELECT pg_is_in_recovery()")):
                return False
            names = inspect(connection).get_table_names(schema_of(connection))
            allowed = text("SELECT has_table_privilege('traces', 'INSERT')")
            return "traces" not in names or bool(connection.scalar(allowed))

    @contextmanager
    def look(self) -> Generator[Connection]:
        """Give a connection that only reads."""
        with self._connected() as connection:
            yield connection

    def open(self, *, readonly: bool, guard: Guard | None = None) -> Database:
        """Open it."""
        return PostgresDatabase(self.url, readonly=readonly, guard=guard)

    def backup(self, revision: str) -> None:
        """Copy nothing: whoever runs the server backs it up, with pg_dump or from its log."""

    def mark(self, connection: Connection) -> None:
        """Say in the schema's own words whose it is."""
        connection.exec_driver_sql(f"COMMENT ON TABLE alembic_version IS '{_MARK}'")

    def is_marked(self, connection: Connection) -> bool:
        """Whether the schema says that it is ours."""
        said = text("SELECT obj_description(to_regclass('alembic_version'), 'pg_class')")
        return connection.scalar(said) == _MARK

    @contextmanager
    def _connected(self) -> Generator[Connection]:
        """Connect for what is only read, but for the extension."""
        engine = make_single_engine(self.url)
        try:
            with translated(self.url), engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()

    def _require_server(self, connection: Connection) -> None:
        number = int(connection.scalar(text("SHOW server_version_num")) or 0)
        if number < OLDEST:
            raise LocationError(
                f"a memory's server must be PostgreSQL {OLDEST // 10000} or newer, got "
                f"{str(self.place)!r} with version {number // 10000}; name a newer one"
            )

    def _require_unicode(self, connection: Connection) -> None:
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise LocationError(
                f"a memory's database must hold any text, in UTF8, got {str(self.place)!r} in "
                f"{encoding}; make another with: createdb --encoding UTF8 --template template0"
            )

    def _create_vector(self, connection: Connection) -> None:
        """Create the extension, unless it is there; refuse a server that cannot have it."""
        found = connection.scalar(_HAS)
        if found is None:
            found = connection.scalar(_MAY_HAVE)
            self.require_vector(found)
            try:
                # Of several processes on a new database, all but the first wait here.
                connection.execute(text(f"SELECT pg_advisory_xact_lock({EXTENSION}, 0)"))
                connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
                connection.commit()
            except DBAPIError as error:
                raise LocationError(
                    "a memory's user must have the right to create the extension vector, or find "
                    f"it there, but cannot in {str(self.place)!r}; let an administrator of that "
                    "database run once: CREATE EXTENSION vector"
                ) from error
        self.require_vector(found)

    def require_vector(self, found: str | None) -> None:
        """Raise LocationError unless a version of pgvector, None for none, is new enough."""
        if found is None:
            raise LocationError(
                f"a memory's server must have pgvector, but {str(self.place)!r} has none; install "
                "it there, on Debian as postgresql-VERSION-pgvector"
            )
        if tuple(map(int, found.split(".")[:2])) < OLDEST_VECTOR:
            raise LocationError(
                f"a memory's server must have pgvector 0.8 or newer, got {str(self.place)!r} with "
                f"{found}; install it there, then run: ALTER EXTENSION vector UPDATE"
            )
