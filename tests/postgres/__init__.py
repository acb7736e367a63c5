"""What only a memory on a server meets; skipped where the server's driver is not installed."""

import pytest

from tests.support.servers import HOW

for _driver in ("psycopg", "pgvector"):
    pytest.importorskip(_driver, reason=HOW)
