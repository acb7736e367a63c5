"""How many new traces each shelf got in which minute, whether or not they are still there."""

import sqlalchemy as sa
from alembic import op

from latent_migrations.columns import WHOLE

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table; what came before is not counted."""
    op.create_table(
        "admissions",
        sa.Column(
            "shelf",
            WHOLE,
            sa.ForeignKey("shelves.id", ondelete="CASCADE"),
            primary_key=True,
        ),
        sa.Column("minute", WHOLE, primary_key=True),
        sa.Column("traces", WHOLE, nullable=False),
    )
