"""``python -m dev.bench memory`` on a small memory."""

import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from dev.bench.__main__ import app
from latent_agent.errors import SettingError

SMALL = ["--dimension", "16", "--latents", "2", "--queries", "20"]


def run(*arguments):
    result = CliRunner().invoke(app, ["memory", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.mark.parametrize(
    ("traces", "kind"),
    [(10, []), (700, []), pytest.param(700, ["--uniform"], marks=pytest.mark.slow)],
)
def test_figures_of_a_small_memory(tmp_path, traces, kind):
    printed = run("--traces", str(traces), *SMALL, *kind, "--folder", str(tmp_path), "--json")
    figures = json.loads(printed)
    assert figures["traces"] == traces
    assert figures["clustered"] == (not kind)
    assert figures["recall_at_10"] == 1.0  # flat, so exact
    assert figures["plain_bytes_per_trace"] == 2 * 2 * 16 * 2 + 4 * 16
    assert figures["durable_adds_per_second"] > 0
    assert figures["imports_per_second"] > 0
    assert (figures["bulk_adds_per_second"] > 0) == (traces > 500)
    for name in ("recall_ms", "first_recall_ms", "recall_processor_ms"):
        assert 0 < figures[name]["p50"] <= figures[name]["p99"]
    assert figures["files"]["memory.sqlite3"] > 0
    assert not list(tmp_path.iterdir())  # nothing is left behind


def test_the_table_fits_a_narrow_terminal(tmp_path):
    printed = run("--traces", "600", *SMALL, "--folder", str(tmp_path))
    assert "600 traces" in printed
    assert "recall@10 against comparing with all" in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(SettingError, match="--folder must be a folder"):
        run("--folder", str(tmp_path / "none"))


def test_too_little_room_is_said_beforehand(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=5e9))
    with pytest.raises(SettingError, match=r"100000 traces need \d+\.\d GB, but .* has 5.0 GB"):
        run("--folder", str(tmp_path))
    assert not list(tmp_path.iterdir())
