"""An open database on a server: its transactions, one writer at a time."""

import logging
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from weakref import finalize

from sqlalchemy import URL, Connection, Engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from latent_memory.database import Database, Guard, Sizes
from latent_memory.errors import LatentMemoryError, ReadOnlyError
from latent_memory.first_of_ours import first_of_ours
from latent_memory.fork_guard import Gate
from latent_memory.index.ivf_layout import IndexSettings
from latent_memory.postgres.background import Background
from latent_memory.postgres.engine import (
    HERE,
    SETTINGS,
    WRITER,
    make_engine,
    make_single_engine,
)
from latent_memory.postgres.errors import translated
from latent_memory.postgres.files import FileRows
from latent_memory.postgres.graph import (
    draw_graph,
    drop_graph,
    drop_stray_graphs,
    graph_lock,
    graph_name,
    shelves_without_graph,
)
from latent_memory.postgres.night_lock import hold, is_held
from latent_memory.postgres.rows import metadata as own
from latent_memory.postgres.search import ServerIndexes
from latent_memory.postgres.vectors import Vectors
from latent_memory.tables import metadata

logger = logging.getLogger(__name__)

_READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_WRITING = {"isolation_level": "READ COMMITTED"}  # alone: a snapshot of before its turn is too old
_TURN = text(f"SELECT pg_advisory_xact_lock({WRITER}, {HERE})")
_WITHIN = text("SELECT set_config('lock_timeout', :milliseconds, true)")
_REVISION = text("SELECT version_num FROM alembic_version")
_NONE_YET = text("SELECT to_regclass(quote_ident(current_schema()) || '.alembic_version') IS NULL")
_SIZE = text("SELECT coalesce(sum(pg_total_relation_size(to_regclass(name))), 0) FROM "
             "unnest(cast(:names AS text[])) AS name")  # fmt: skip
_SEQUENCES = text(
    "SELECT t.relname AS name, quote_ident(s.relname) AS sequence, "
    "has_sequence_privilege(s.oid, 'SELECT') AS seen, "
    "coalesce(CASE WHEN has_sequence_privilege(s.oid, 'SELECT') "
    "THEN pg_sequence_last_value(s.oid) END, 0) AS highest "
    "FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'a' "
    "AND d.classid = cast('pg_class' AS regclass) AND d.refclassid = d.classid "
    "JOIN pg_class t ON t.oid = d.refobjid "
    "WHERE s.relkind = 'S' AND t.relnamespace = to_regnamespace(quote_ident(current_schema()))"
)
_IS_OWNER = text(  # to others VACUUM only gives a warning
    "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class "
    "WHERE relkind = 'r' AND relnamespace = to_regnamespace(quote_ident(current_schema()))"
)
_BROKEN = text(
    "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
    "WHERE NOT i.indisvalid AND c.relnamespace = to_regnamespace(quote_ident(current_schema())) "
    "AND c.relname NOT LIKE 'graph\\_%'"  # these are being built, or are built anew
)


class PostgresDatabase(Database):
    """One schema of a database on a server, open for many threads at once.

    Args:
        url: Where it is.
        readonly: Whether it is open for reading only.
        guard: Raises if the schema is not the expected one. It is called in the first transaction,
            and in the next one after any process has migrated it.
    """

    def __init__(self, url: URL, *, readonly: bool, guard: Guard | None = None) -> None:
        self.location, self.readonly = url, readonly
        self.files = FileRows(self)
        self._url, self._guard, self._guarded = url, guard, ""
        self._engine = make_engine(url)
        self._gate = Gate(self._engine.dispose)
        self._writer = threading.Lock()
        self._vectors = Vectors()
        event.listen(self._engine, "invalidate", self._vectors.look_anew)
        self._drawing = Background()
        finalize(self, _end, self._drawing, self._engine)

    @contextmanager
    def read(self) -> Generator[Connection]:
        """Give a connection that sees one state of the database throughout."""
        with (
            self._gate.use(),
            translated(self._url),
            self._engine.connect().execution_options(**_READING) as connection,
            connection.begin(),
        ):
            self._check(connection)
            yield connection

    @contextmanager
    def write(self, within: float | None = None) -> Generator[Connection]:
        """Give a connection whose changes are durable once the block is left, or not made at all.

        The writers of all processes take turns, in the order in which they come. What recall
        searches is brought up to date in the same transaction.
        """
        if self.readonly:
            raise ReadOnlyError(
                f"a memory must be writable to be changed, but {str(self.place)!r} is open for "
                "reading only; open it with mode='read-write', on the primary server, as a user "
                "who may write to it"
            )
        with self._gate.use(), first_of_ours(self._writer, self.place, within) as left:
            with self._turn(left) as connection:
                # Without a guard the tables may be about to be made.
                made = self._guard is not None or not connection.scalar(_NONE_YET)
                if made:
                    self._check(connection)
                yield connection
                if made:
                    self._vectors.catch_up(connection)
            self._vectors.committed()
        if self._vectors.grown:
            self._drawing.start(self._draw)

    @contextmanager
    def _turn(self, left: float | None) -> Generator[Connection]:
        """Give a connection in a transaction that begins when no other process writes."""
        with (
            translated(self._url),
            self._engine.connect().execution_options(**_WRITING) as connection,
            connection.begin(),
        ):
            if left is not None:
                connection.execute(_WITHIN, {"milliseconds": str(max(1, int(left * 1000)))})
            connection.execute(_TURN)
            yield connection

    def _check(self, connection: Connection) -> None:
        revision = connection.scalar(_REVISION) or ""
        if self._guard and revision != self._guarded:
            self._guard(connection)
            self._guarded = revision

    def _draw(self) -> None:
        """Give shelves that have outgrown a scan their graphs, while all go on; raise nothing.

        What another process is building is left to it.
        """
        with self._gate.use(), self._writer:
            grown = self._vectors.take_grown()
        try:
            with self.read() as connection:
                wanting = shelves_without_graph(connection, grown)
            for shelf, dimension in wanting:
                with self._outside() as connection, graph_lock(connection, shelf) as mine:
                    if mine and draw_graph(connection, shelf, dimension):
                        connection.exec_driver_sql("ANALYZE vectors")
                        with self.write() as writing:
                            self._vectors.note_graphs(writing, [shelf], there=True)
        except (LatentMemoryError, SQLAlchemyError) as error:
            logger.warning("large shelves are scanned, since no graph could be built: %s", error)

    @contextmanager
    def _outside(self) -> Generator[Connection]:
        """Give a session of its own, outside of any transaction; no fork waits for its end."""
        engine = make_single_engine(self._url, isolation_level="AUTOCOMMIT")
        try:
            with translated(self._url), engine.connect() as connection:
                connection.exec_driver_sql(SETTINGS)
                yield connection
        finally:
            engine.dispose()

    def _recentre(self, shelf: int) -> None:
        """Learn a shelf's centre anew, and write its vectors and its graph from it.

        Without its graph first: to change that vector by vector takes longer than to build it.
        """
        with self._outside() as connection, graph_lock(connection, shelf, wait=True):
            with self.write() as writing:
                self._vectors.note_graphs(writing, [shelf], there=False)
            drop_graph(connection, graph_name(shelf))
            with self.write() as writing:
                self._vectors.recentre(writing, shelf)

    def empty_log(self) -> bool:
        """Do nothing: the write-ahead log is the server's, for its replicas and backups."""
        return True

    def empty_log_soon(self) -> None:
        """Do nothing, likewise."""

    def vacuum(self, *, thorough: bool) -> None:
        """Rewrite all tables without what was deleted, or let their space be used again.

        What nobody asked for, and the server does by itself too, raises nothing.
        """
        try:
            with self._outside() as connection:
                self._vacuum(connection, "FULL, ANALYZE" if thorough else "ANALYZE")
        except LatentMemoryError as error:
            if thorough:
                raise
            logger.warning("the space of erased traces is left to the server: %s", error)

    def _vacuum(self, connection: Connection, options: str) -> None:
        if not connection.scalar(_IS_OWNER):
            raise ReadOnlyError(
                "a memory must be compacted by the owner of its tables, got "
                f"{str(self.place)!r}, whose user is not; name the owner in the URL"
            )
        drop_stray_graphs(connection)
        for table in (*metadata.tables, *own.tables):
            connection.exec_driver_sql(f'VACUUM ({options}) "{table}"')

    def faults(self, connection: Connection) -> list[str]:
        """Return which indexes are not whole; what pages hold is checked by pg_amcheck."""
        broken = connection.execute(_BROKEN).scalars()
        return [f"index {name} is not valid" for name in broken]

    def sizes(self) -> Sizes:
        """Return the sizes of the tables, with their indexes; the log is the server's."""
        searched = ["vectors", "centres"]
        others = [name for name in (*metadata.tables, *own.tables) if name not in searched]
        with self.read() as connection:
            database, index = (
                int(connection.scalar(_SIZE, {"names": names}) or 0) for names in (others, searched)
            )
        return Sizes(database=database, log=0, index=index)

    def highest_ids(self, connection: Connection) -> dict[str, int]:
        """Return how far the sequences are; what a crash skipped counts as given."""
        rows = connection.execute(_SEQUENCES).all()
        if hidden := [row.sequence for row in rows if not row.seen]:
            raise ReadOnlyError(
                f"a memory's sequences must be read to know which ids it gave, but the user of "
                f"{str(self.place)!r} may not read {', '.join(hidden)}; let their owner grant "
                "SELECT on all sequences of the schema"
            )
        return {row.name: row.highest for row in rows if row.highest}

    def set_highest_ids(self, connection: Connection, highest: Mapping[str, int]) -> None:
        """Move the sequences on, as far as the transaction is committed: no ``setval`` is so."""
        for row in connection.execute(_SEQUENCES).all():
            if number := highest.get(row.name):
                connection.exec_driver_sql(f"ALTER SEQUENCE {row.sequence} RESTART WITH {number}")
                connection.exec_driver_sql(f"SELECT nextval('{row.sequence}')")

    def delete_backups(self) -> Sequence[str]:
        """Delete nothing: backups of a server are not ours."""
        return []

    def indexes(self, settings: IndexSettings) -> ServerIndexes:
        """Return what searches by pgvector, and embeddings too wide for it by FAISS."""
        return ServerIndexes(self, settings, self._recentre)

    def night_lock(self) -> AbstractContextManager[Callable[[], bool]]:
        """Hold an advisory lock, by a session of its own."""
        return hold(self._url)

    def night_running(self) -> bool:
        """Whether a session holds that lock."""
        with self.read() as connection:
            return is_held(connection)

    def close(self) -> None:
        """Close all connections; a closed database opens again when it is next used."""
        self._drawing.wait()
        with self._gate.use():
            self._engine.dispose()


def _end(drawing: Background, engine: Engine) -> None:
    drawing.wait()
    engine.dispose()
