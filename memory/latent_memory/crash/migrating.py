"""Migrations that are killed: one more revision than there is, on a copy with rows in it."""

import shutil
import sys
from importlib import reload
from pathlib import Path

from sqlalchemy import inspect, text

import latent_migrations
from latent_memory.crash.check import require
from latent_memory.errors import SchemaError
from latent_memory.schema import migrate, open_database

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


def check_migrated(database: Path, migrations: Path, traces: int) -> None:
    """Look at what a killed migration left: the old schema, or the new one, and all rows.

    Raises:
        AssertionError: If it is neither.
    """
    ...
