"""What a call was asked and how it searched, so that a night can ask it again as it was."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the columns; of traces from before neither is known."""
    op.add_column("texts", sa.Column("conversation", sa.Text))
    op.add_column("texts", sa.Column("settings", sa.Text))
