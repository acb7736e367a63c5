"""Traces, on shelves, with their latents, embeddings and texts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create all tables; there are no rows before this revision."""
    _create_shelves()
    _create_traces()
    _create_parts()
    op.create_table(
        "deletions",
        sa.Column("seq", sa.Integer, primary_key=True),
        sa.Column("trace", sa.Integer, nullable=False),
        sa.Column("shelf", sa.Integer, nullable=False),
        sa.Column("deleted", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("deletions_by_shelf", "deletions", ["shelf", "seq"])


def _create_shelves() -> None:
    op.create_table(
        "shelves",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("namespace", sa.Text, nullable=False),
        sa.Column("fingerprint", sa.Text, nullable=False),
        sa.Column("reward", sa.Text, nullable=False),
        sa.Column("dimension", sa.Integer, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("identity", sa.Text, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.UniqueConstraint("namespace", "fingerprint", "reward"),
        sqlite_autoincrement=True,
    )


def _create_traces() -> None:
    op.create_table(
        "traces",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("shelf", sa.Integer, sa.ForeignKey("shelves.id"), nullable=False),
        sa.Column("created", sa.Integer, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("rewards", sa.Text, nullable=False),
        sa.Column("steps", sa.Integer, nullable=False),
        sa.Column("stopped", sa.Text, nullable=False),
        sa.Column("neighbours", sa.Text, nullable=False),
        sa.Column("prior", sa.Text),
        sa.Column("checksum", sa.Integer, nullable=False),
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
        trace = sa.Column("trace", sa.Integer, primary_key=True, autoincrement=False)
        op.create_table(table, trace, *columns)
