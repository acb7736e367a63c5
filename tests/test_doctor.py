"""``latent-agent doctor``: what is well, what is not, and what to do about it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from latent_agent import ChatLatentSeek
from latent_agent.cli import app

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, ["doctor", *(str(argument) for argument in arguments)])


def examined(*arguments: object) -> tuple[int, dict[str, dict[str, str]]]:
    result = run(*arguments, "--json")
    found = json.loads(result.stdout)["findings"]
    return result.exit_code, {finding["about"]: finding for finding in found}


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    path = tmp_path / "memory.sqlite3"
    ChatLatentSeek(model="bundled", memory=str(path)).invoke(QUESTION)
    return path


def test_all_is_well(memory: Path) -> None:
    code, found = examined("--memory", memory, "--thorough")
    assert code == 0
    assert {finding["state"] for finding in found.values()} == {"ok"}
    assert found["memory"]["text"].startswith("1 traces in 1 shelves")
    assert {"versions", "model", "disk", "contents", "call"} <= found.keys()
    assert {"prior of default", "nights of default"} <= found.keys()


def test_no_memory_yet_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite3"
    code, found = examined("--memory", path, "--no-smoke")
    assert (code, found["memory"]["state"]) == (0, "ok")
    assert "call" not in found
    assert not path.exists()


def test_a_file_that_is_no_database_fails_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "junk.sqlite3"
    path.write_text("no database")
    code, found = examined("--memory", path, "--no-smoke")
    assert (code, found["memory"]["state"]) == (1, "fail")
    assert "give another path" in found["memory"]["remedy"]
    assert path.read_text() == "no database"


def test_an_unknown_model_fails_and_the_rest_is_looked_at(memory: Path) -> None:
    code, found = examined("--memory", memory, "--model", "./nowhere")
    assert code == 1
    assert (found["model"]["state"], found["call"]["state"]) == ("fail", "fail")
    assert found["memory"]["state"] == "ok"


def test_damaged_contents_are_found(memory: Path) -> None:
    with closing(sqlite3.connect(memory)) as connection, connection:
        connection.execute("UPDATE latents SET bytes = substr(bytes, 1, length(bytes) - 9)")
    code, found = examined("--memory", memory, "--thorough", "--no-smoke")
    assert (code, found["contents"]["state"]) == (1, "fail")
    assert "latent-agent memory verify" in found["contents"]["remedy"]


def test_the_table_fits_eighty_columns(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("--memory", memory, "--no-smoke")
    assert result.exit_code == 0
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
