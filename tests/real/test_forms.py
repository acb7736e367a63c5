"""Thirty cases of tools and structured output, on a real model.

``make test-real MODEL=...`` prints what came of each case, and the counts. How many are right is
the model's; for models that were tried there are bars.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.errors import PromptError
from tests.real.measure import Row, called, structured, table

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]

BARS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "qwen2.5-coder": {"tools": (12, 8), "json_schema": (15, 6), "function_calling": (15, 6)}
}
"""Fewest that are valid, and right, by the beginning of a model's name."""


def check(model: Path, what: str, rows: Sequence[Row]) -> None:
    print(f"\n{model.name}, {what}\n{table(rows)}")  # noqa: T201
    assert len(rows) == 15
    for name, bars in BARS.items():
        if model.name.startswith(name):
            assert sum(row.valid for row in rows) >= bars[what][0]
            assert sum(row.right for row in rows) >= bars[what][1]


def test_tools_are_called_where_they_are_needed(
    real_chat: ChatLatentSeek, real_model: Path
) -> None:
    try:
        rows = called(real_chat)
    except PromptError as error:
        pytest.skip(f"its template knows no tools: {error}")
    check(real_model, "tools", rows)


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_answers_are_whole_and_fit(
    real_chat: ChatLatentSeek, real_model: Path, method: str
) -> None:
    check(real_model, method, structured(real_chat, method=method))
