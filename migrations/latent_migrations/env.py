"""How Alembic runs the revisions: on a given connection, inside the transaction it is in.

Alembic takes SQLite's DDL to be outside transactions, because Python's driver commits before it
by default. Ours does not (see ``latent_memory.sqlite``), so all revisions and their entry in the
version table are committed at once, or not at all.
"""

from alembic import context
from sqlalchemy import Connection

from latent_migrations import schema_of


def run(connection: Connection | None) -> None:
    """Run the revisions that were asked for."""
    if connection is None:
        raise RuntimeError(
            "migrations must be run through latent_migrations.upgrade(connection), got no "
            "connection; run: latent-agent migrate --memory PATH"
        )
    if not _inside(connection):
        raise RuntimeError(
            "migrations must run inside a transaction, got a connection outside one; "
            "begin it with BEGIN IMMEDIATE"
        )
    context.configure(
        connection=connection, transactional_ddl=True, version_table_schema=schema_of(connection)
    )
    with context.begin_transaction():
        context.run_migrations()


def _inside(connection: Connection) -> bool:
    """Whether a transaction is open; SQLite's driver knows better than SQLAlchemy does."""
    raw = connection.connection.dbapi_connection
    return bool(getattr(raw, "in_transaction", connection.in_transaction()))


run(context.config.attributes.get("connection"))
