"""How many traces a memory keeps of all namespaces together."""

import sqlalchemy as sa
from alembic import op

from latent_migrations.columns import WHOLE

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the column; limits that were set before have no such one."""
    op.add_column("limits", sa.Column("total", WHOLE))
