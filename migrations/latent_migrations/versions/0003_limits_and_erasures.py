"""What a memory keeps at most, and the record of what it erased."""

import sqlalchemy as sa
from alembic import op

from latent_migrations.columns import WHOLE

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables; what was deleted so far was forgotten, not evicted."""
    op.create_table(
        "limits",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("capacity", WHOLE),
        sa.Column("max_age", WHOLE),
        sa.Column("hourly", WHOLE),
    )
    op.create_table(
        "erasures",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("began", WHOLE, nullable=False),
        sa.Column("ended", WHOLE, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("traces", WHOLE, nullable=False),
        sa.Column("emptied", WHOLE, nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("deletions", sa.Column("evicted", WHOLE, nullable=False, server_default="0"))
