"""``python -m dev.bench beside`` on the bundled model, for a short while."""

import json

import pytest
from typer.testing import CliRunner

from dev.bench.__main__ import app
from latent_agent.errors import SettingError


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["beside", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_figures_of_nights_that_are_stopped_and_go_on() -> None:
    short = ("--traces", "100", "--seconds", "1", "--max-minutes", "0.1", "--calls", "60")
    figures = json.loads(run(*short, "--max-tokens", "32", "--json"))
    *before, last = figures["nights"]
    assert all(night["exit_code"] == 4 for night in before)
    assert len(figures["alone"]) == len(figures["nights"]) + 1
    assert all(stretch["calls"] > 0 for stretch in figures["alone"] + figures["nights"])
    assert figures["ratio"] == figures["median_beside"] / figures["median_alone"]
    if before and last["exit_code"] == 0:
        assert last["night"]["kept"]["updates"] > 0


def test_more_cores_than_there_are_are_refused() -> None:
    with pytest.raises(SettingError, match="--cores must be no more"):
        run("--cores", "4096")
