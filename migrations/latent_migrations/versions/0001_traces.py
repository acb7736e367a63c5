"""Traces, on shelves, with their latents, embeddings and texts."""

import sqlalchemy as sa
from alembic import op

from latent_migrations import postgres
from latent_migrations.columns import NAME, WHOLE

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables; there are no rows before this revision."""
    _create_shelves()
    _create_traces()
    _create_parts()
    op.create_table(
        "deletions",
        sa.Column("seq", WHOLE, primary_key=True),
        sa.Column("trace", WHOLE, nullable=False),
        sa.Column("shelf", WHOLE, nullable=False),
        sa.Column("deleted", WHOLE, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("deletions_by_shelf", "deletions", ["shelf", "seq"])
    if op.get_bind().dialect.name == "postgresql":
        postgres.create()


def _create_shelves() -> None:
    op.create_table(
        "shelves",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("namespace", NAME, nullable=False),
        sa.Column("fingerprint", NAME, nullable=False),
        sa.Column("reward", NAME, nullable=False),
        sa.Column("dimension", WHOLE, nullable=False),
        sa.Column("width", WHOLE, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("generation", WHOLE, nullable=False),
        sa.UniqueConstraint("namespace", "fingerprint", "reward"),
        sqlite_autoincrement=True,
    )


def _create_traces() -> None:
    op.create_table(
        "traces",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("shelf", WHOLE, sa.ForeignKey("shelves.id"), nullable=False),
        sa.Column("created", WHOLE, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("rewards", sa.Text, nullable=False),
        sa.Column("steps", WHOLE, nullable=False),
        sa.Column("stopped", sa.Text, nullable=False),
        sa.Column("neighbours", sa.Text, nullable=False),
        sa.Column("prior", sa.Text),
        sa.Column("checksum", WHOLE, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("traces_by_shelf", "traces", ["shelf", "id"])


def _create_parts() -> None:
    """Create what is large, apart from the traces, so that a list or a scan reads little."""
    for table, columns in (
        ("latents", [sa.Column("bytes", sa.LargeBinary, nullable=False)]),
        ("embeddings", [sa.Column("vector", sa.LargeBinary, nullable=False)]),
        ("texts", [sa.Column(name, sa.Text) for name in ("query", "answer", "tokens")]),
    ):
        trace = sa.Column("trace", WHOLE, primary_key=True, autoincrement=False)
        op.create_table(table, trace, *columns)
