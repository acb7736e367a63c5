"""Latent priors, what they were trained on, and the nights that trained them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the tables; what is there already is left alone."""
    _create_nights()
    _create_priors()
    op.create_table(
        "sources",
        sa.Column(
            "prior",
            sa.Integer,
            sa.ForeignKey("priors.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("shelf", sa.Integer, primary_key=True),
        sa.Column("first", sa.Integer, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("deletion", sa.Integer, nullable=False),
    )


def _create_nights() -> None:
    op.create_table(
        "nights",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("shelf", sa.Integer, _shelf(), nullable=False),
        sa.Column("started", sa.Integer, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("last", sa.Integer, nullable=False),
        sa.Column("inputs", sa.Text, nullable=False),
        sa.Column("losses", sa.Text, nullable=False),
        sa.Column("gate", sa.Text, nullable=False),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("nights_by_shelf", "nights", ["shelf", "id"])


def _create_priors() -> None:
    op.create_table(
        "priors",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("shelf", sa.Integer, _shelf(), nullable=False),
        sa.Column("night", sa.Integer, nullable=False),
        sa.Column("created", sa.Integer, nullable=False),
        sa.Column("file", sa.Text),
        sa.Column("checksum", sa.Text),
        sa.Column("positions", sa.Integer, nullable=False),
        sa.Column("published", sa.Integer),
        sa.Column("published_at", sa.Integer),
        sa.Column("withdrawn", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("priors_by_shelf", "priors", ["shelf", "published"])


def _shelf() -> sa.ForeignKey:
    return sa.ForeignKey("shelves.id", ondelete="CASCADE")
