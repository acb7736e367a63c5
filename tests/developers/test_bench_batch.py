"""``python -m dev.bench batch`` on a small model."""

import json

import pytest
from typer.testing import CliRunner

from dev.bench.__main__ import app
from latent_agent.errors import SettingError

SMALL = ["--shape", "tiny", "--questions", "3", "--rows", "3", "--tokens", "8", "--steps", "2"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["batch", *SMALL, "--verdict", "2", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def test_figures_of_a_small_batch() -> None:
    figures = json.loads(run("--repeats", "2", "--json"))
    assert [row["rows"] for row in figures["rows"]] == [1, 3]
    assert figures["steps_that_changed"] == 3 * 2  # the honest case: no step is free
    single, together = figures["rows"]
    assert single["throughput"] == single["processor_ratio"] == 1
    assert together["same_answers"]
    assert together["forwarded_tokens"] == single["forwarded_tokens"]
    assert together["same_bill"]


def test_the_table_fits_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    printed = run("--repeats", "1")
    assert "throughput" in printed
    assert max(map(len, printed.splitlines())) <= 80


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(["--rows", "4"], "give --questions 4"), (["--shape", "7B"], "one of .*'7B'; choose one")],
)
def test_what_cannot_be_measured_is_refused(arguments: list[str], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        run(*arguments)
