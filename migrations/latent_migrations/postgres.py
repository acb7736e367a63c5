"""What a memory in PostgreSQL has from its first revision on, and one in SQLite does not need."""

import sqlalchemy as sa
from alembic import op

_FORGOTTEN = {
    "texts": ("query", "answer", "tokens", "conversation", "settings"),
    "feedback": ("comment", "correction"),
    "shelves": ("namespace",),
    **{"latents": ("bytes",), "embeddings": ("vector",), "vectors": ("unit",)},
}


def create() -> None:
    """Create the tables for recall and for files; pgvector is there already.

    A vector is stored in its row, not beside it: a scan reads all of them. 4,000 numbers of two
    bytes fit into a page.
    """
    op.execute(
        "CREATE TABLE vectors ("
        " trace bigint PRIMARY KEY REFERENCES traces ON DELETE CASCADE,"
        " shelf bigint NOT NULL REFERENCES shelves ON DELETE CASCADE,"
        " unit halfvec NOT NULL)"
    )
    op.execute("ALTER TABLE vectors ALTER COLUMN unit SET STORAGE PLAIN")
    op.create_index("vectors_by_shelf", "vectors", ["shelf"])
    op.create_table(
        "centres",
        sa.Column(
            "shelf",
            sa.BigInteger,
            sa.ForeignKey("shelves.id", ondelete="CASCADE"),
            primary_key=True,
            autoincrement=False,
        ),
        sa.Column("built", sa.BigInteger, nullable=False),
        sa.Column("added", sa.BigInteger, nullable=False),
        sa.Column("mean", sa.LargeBinary, nullable=False),
        sa.Column("graph", sa.Boolean, nullable=False),
    )
    op.create_table(
        "files",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.Column("written", sa.BigInteger, nullable=False),
    )


def keep_out_of_statistics() -> None:
    """Let the planner keep no samples of what can be forgotten: they would not leave with it."""
    for table, columns in _FORGOTTEN.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET STATISTICS 0")
