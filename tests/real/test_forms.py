"""Thirty cases of tools and structured output, on a real model that was trained on tools.

``LATENT_AGENT_REAL_MODEL=FOLDER pytest tests/real -m real -n 0 -s`` prints what came of each case,
and the counts. Structured answers must fit, whatever the model: that is the grammar's part. How
many are right is the model's, so the bars there are low.
"""

import pytest

from latent_agent import ChatLatentSeek
from tests.real.measure import called, structured, table

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]


def test_tools_are_called_where_they_are_needed(real_chat: ChatLatentSeek) -> None:
    rows = called(real_chat)
    print(table(rows))  # noqa: T201
    assert len(rows) == 15
    assert sum(row.valid for row in rows) >= 12
    assert sum(row.right for row in rows) >= 8


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_answers_are_whole_and_fit(real_chat: ChatLatentSeek, method: str) -> None:
    rows = structured(real_chat, method=method)
    print(table(rows))  # noqa: T201
    assert len(rows) == 15
    assert [row.text for row in rows if not row.valid] == []
    assert sum(row.right for row in rows) >= 6
