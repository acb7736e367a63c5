"""Types of columns that both dialects have."""

import sqlalchemy as sa

# SQLite numbers the rows of INTEGER keys alone; PostgreSQL's INTEGER ends at 2**31.
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
