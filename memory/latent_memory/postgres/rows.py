"""The tables that only PostgreSQL has: what FAISS and files are to SQLite.

They are made by the first revision. Rows of a trace or a shelf that is gone go with it.
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    LargeBinary,
    MetaData,
    Table,
    Text,
)
from sqlalchemy.types import UserDefinedType

metadata = MetaData()


class HalfVec(UserDefinedType[Any]):
    """pgvector's vector of numbers of two bytes; the driver's ``HalfVector`` as a value."""

    cache_ok = True

    def get_col_spec(self, **_: Any) -> str:
        """Return the type's name."""
        return "halfvec"


# Embeddings less their shelf's centre, of length 1, to find the nearest by. What they come to is
# computed from the embeddings themselves.
vectors = Table(
    "vectors",
    metadata,
    Column("trace", BigInteger, primary_key=True, autoincrement=False),
    Column("shelf", BigInteger, nullable=False),
    Column("unit", HalfVec, nullable=False),
)

# The mean of a shelf's embeddings, once there were enough of them.
centres = Table(
    "centres",
    metadata,
    Column("shelf", BigInteger, primary_key=True, autoincrement=False),
    Column("built", BigInteger, nullable=False),  # of how many it is the mean; 0: too few so far
    Column("added", BigInteger, nullable=False),  # how many came since
    Column("mean", LargeBinary, nullable=False),  # float32
    Column("graph", Boolean, nullable=False),  # whether an HNSW index of the shelf is there
)

files = Table(
    "files",
    metadata,
    Column("name", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("written", BigInteger, nullable=False),  # microseconds since 1970, UTC
)
