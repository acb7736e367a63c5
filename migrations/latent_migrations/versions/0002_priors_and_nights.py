"""Latent priors, what they were trained on, and the nights that trained them."""

import sqlalchemy as sa
from alembic import op

from latent_migrations.columns import WHOLE

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
            WHOLE,
            sa.ForeignKey("priors.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("shelf", WHOLE, primary_key=True),
        sa.Column("first", WHOLE, nullable=False),
        sa.Column("last", WHOLE, nullable=False),
        sa.Column("deletion", WHOLE, nullable=False),
    )


def _create_nights() -> None:
    op.create_table(
        "nights",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("shelf", WHOLE, _shelf(), nullable=False),
        sa.Column("started", WHOLE, nullable=False),
        sa.Column("seconds", sa.Float),
        sa.Column("seed", WHOLE, nullable=False),
        sa.Column("last", WHOLE, nullable=False),
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
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("shelf", WHOLE, _shelf(), nullable=False),
        sa.Column("night", WHOLE, nullable=False),
        sa.Column("created", WHOLE, nullable=False),
        sa.Column("file", sa.Text),
        sa.Column("checksum", sa.Text),
        sa.Column("positions", WHOLE, nullable=False),
        sa.Column("published", WHOLE),
        sa.Column("published_at", WHOLE),
        sa.Column("withdrawn", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("priors_by_shelf", "priors", ["shelf", "published"])


def _shelf() -> sa.ForeignKey:
    return sa.ForeignKey("shelves.id", ondelete="CASCADE")
