"""What users said of answers, and what that makes of their traces."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Create the tables; nobody has rated anything yet."""
    op.create_table(
        "feedback",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("trace", sa.Integer, nullable=False),
        sa.Column("given", sa.Integer, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("score", sa.Float, nullable=False),
        sa.Column("comment", sa.Text),
        sa.Column("correction", sa.Text),
        sqlite_autoincrement=True,
    )
    op.create_index("feedback_by_trace", "feedback", ["trace", "id"])
    op.create_table(
        "ratings",
        sa.Column("trace", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rated", sa.Integer, nullable=False),
        sa.Column("reward", sa.Float, nullable=False),
        sa.Column("correction", sa.Integer, nullable=False),
        sa.Column("unread", sa.Integer, nullable=False),
    )
    op.create_index("ratings_by_rated", "ratings", ["rated"])
    op.create_index("ratings_by_unread", "ratings", ["unread"])
    op.create_table(
        "answers",
        sa.Column("trace", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("run", sa.Text),
        sa.Column("until", sa.Integer),
    )
    op.create_index("answers_by_run", "answers", ["run"])
    op.create_index("answers_by_until", "answers", ["until"])
