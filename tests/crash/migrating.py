"""Migrations that are killed: one more revision than there is, on a copy with rows in it."""

import shutil
import sys
from importlib import reload
from pathlib import Path

from sqlalchemy import inspect, text

import latent_migrations
from latent_memory.schema import migrate
from latent_memory.sqlite import SqliteDatabase, backups, look
from tests.crash.check import require

REVISION = "9999"

_SCRIPT = '''"""Rewrite every row."""
import sqlalchemy as sa
from alembic import op

revision, down_revision = "{revision}", "{head}"


def upgrade():
    op.add_column("traces", sa.Column("crash", sa.Integer))
    op.create_index("crash_index", "traces", ["crash"])
    connection = op.get_bind()
    for (id_,) in connection.execute(sa.text("SELECT id FROM traces")).all():
        connection.execute(sa.text("UPDATE traces SET crash = :id WHERE id = :id"), {{"id": id_}})
'''


def extended_migrations(folder: Path) -> Path:
    """Copy the migrations to a folder, with one more; return the folder to import them from."""
    package = Path(latent_migrations.__file__).parent
    copy = folder / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    script = _SCRIPT.format(revision=REVISION, head=latent_migrations.head())
    (copy / "versions" / f"{REVISION}_crash.py").write_text(script)
    return folder


def use_migrations(folder: Path) -> None:
    """Let this process, for the rest of its life, know the migrations in a folder."""
    sys.path.insert(0, str(folder))
    reload(latent_migrations)


def migrate_copy(database: Path, migrations: Path) -> None:
    """Migrate a database to the extra revision, until killed."""
    use_migrations(migrations)
    migrate(database)


def check_migrated(database: Path) -> bool:
    """Look at what a killed migration left; return whether it had been done.

    Raises:
        AssertionError: If the schema is neither the old nor the new one, or a row is not.
    """
    opened = SqliteDatabase(database, readonly=False)
    with opened.read() as connection:
        revision = latent_migrations.current(connection)
        done = revision == REVISION
        require(done or revision == latent_migrations.head(), f"at revision {revision!r}")
        columns = {column["name"] for column in inspect(connection).get_columns("traces")}
        indexes = {index["name"] for index in inspect(connection).get_indexes("traces")}
        require(done == ("crash" in columns) == ("crash_index" in indexes), "half a schema")
        if done:
            left = connection.scalar(text("SELECT count(*) FROM traces WHERE crash IS NOT id"))
            require(left == 0, f"{left} rows were not migrated")
        require(not (faults := opened.faults(connection)), f"SQLite finds {faults}")
    opened.close()
    for copy in backups(database):
        if ".partial" not in copy.name:
            _check_backup(copy)
    return done


def _check_backup(copy: Path) -> None:
    with look(copy) as connection:
        revision = latent_migrations.current(connection)
        require(revision == latent_migrations.head(), f"a backup is at revision {revision!r}")
        result = connection.scalar(text("PRAGMA integrity_check"))
        require(result == "ok", f"in a backup SQLite finds {result}")
