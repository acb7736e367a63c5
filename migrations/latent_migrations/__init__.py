"""The Alembic migrations of the memory's database.

They import nothing else of this project: a revision must go on meaning what it meant when it was
written, whatever becomes of the program. Revisions are numbered files in ``versions``, each after
the one before.
"""

from functools import cache
from importlib.resources import files

from sqlalchemy import Connection, column, inspect, select, table, text

_VERSIONS = table("alembic_version", column("version_num"))


@cache
def revisions() -> dict[str, str]:
    """Return the name of each revision under its number, oldest first."""
    scripts = files("latent_migrations").joinpath("versions").iterdir()
    names = sorted(script.name[:-3] for script in scripts if script.name.endswith(".py"))
    return {number: name.replace("_", " ") for number, _, name in (n.partition("_") for n in names)}


def head() -> str:
    """Return the newest revision, the one that a program of this version needs."""
    return list(revisions())[-1]


def current(connection: Connection) -> str | None:
    """Return the revision that a database is at; None if it has no schema yet."""
    if not inspect(connection).has_table(_VERSIONS.name, schema=schema_of(connection)):
        return None
    return connection.scalar(select(_VERSIONS.c.version_num))


def schema_of(connection: Connection) -> str | None:
    """Return the schema that a database lies in; None: it has none, as SQLite.

    A server would else find another program's tables too, in schemas further down the search path.
    """
    if connection.dialect.name != "postgresql":
        return None
    return connection.scalar(text("SELECT current_schema()"))


def pending(revision: str | None) -> list[str]:
    """Return the revisions that come after ``revision``, oldest first; all of them after None.

    Raises:
        KeyError: If there is no such revision here: it is newer than this program, or not ours.
    """
    known = list(revisions())
    if revision is None:
        return known
    if revision not in known:
        raise KeyError(revision)
    return known[known.index(revision) + 1 :]


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring a database to ``revision``.

    Everything happens in the transaction that ``connection`` is in, so a kill leaves the old
    schema. The caller begins it (``BEGIN IMMEDIATE``, so that no other process writes meanwhile)
    and commits it.
    """
    # Slow to import, and seldom needed.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "latent_migrations:")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
