"""What users said of answers, and what that makes of their traces."""

import sqlalchemy as sa
from alembic import op

from latent_migrations import postgres
from latent_migrations.columns import WHOLE

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the tables; nobody has rated anything yet."""
    op.create_table(
        "feedback",
        sa.Column("id", WHOLE, primary_key=True),
        sa.Column("trace", WHOLE, nullable=False),
        sa.Column("given", WHOLE, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("correction", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_by_trace", "feedback", ["trace", "id"])
    op.create_table(
        "ratings",
        sa.Column("trace", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("rated", WHOLE, nullable=False),
        sa.Column("reward", sa.Float, nullable=False),
        sa.Column("correction", WHOLE, nullable=False),
        sa.Column("unread", WHOLE, nullable=False),
    )
    op.create_index("ratings_by_rated", "ratings", ["rated"])
    op.create_index("ratings_by_unread", "ratings", ["unread"])
    op.create_table(
        "answers",
        sa.Column("trace", WHOLE, primary_key=True, autoincrement=False),
        sa.Column("run", sa.Text),
        sa.Column("until", WHOLE),
    )
    op.create_index("answers_by_run", "answers", ["run"])
    op.create_index("answers_by_until", "answers", ["until"])
    if op.get_bind().dialect.name == "postgresql":
        postgres.keep_out_of_statistics()
