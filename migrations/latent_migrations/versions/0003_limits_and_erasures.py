"""What a memory keeps at most, and the record of what it erased."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables; what was deleted so far was forgotten, not evicted."""
    op.create_table(
        "limits",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("capacity", sa.Integer),
        sa.Column("max_age", sa.Integer),
        sa.Column("hourly", sa.Integer),
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("began", sa.Integer, nullable=False),
        sa.Column("ended", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("traces", sa.Integer, nullable=False),
        sa.Column("emptied", sa.Integer, nullable=False),
        sqlite_autoincrement=True,
    )
    op.add_column("deletions", sa.Column("evicted", sa.Integer, nullable=False, server_default="0"))
