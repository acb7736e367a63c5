"""``python -m dev.bench gate``."""

import json

import pytest
from typer.testing import CliRunner

from dev.bench.__main__ import app


@pytest.mark.slow
def test_replays_at_once_get_the_same_figures() -> None:
    ran = CliRunner().invoke(app, ["gate", "bundled", "--replays", "16", "--json"])
    assert ran.exit_code == 0, ran.output
    found = json.loads(ran.stdout)
    assert found["replays"] == 16
    assert found["same_figures"]
    assert set(found["seconds"]) == {"1", "8"}
