"""``latent-agent memory`` and ``latent-agent migrate``."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from latent_agent.cli import app, main
from latent_memory import LatentMemory, LatentMemoryError, default_location
from tests.migrations.test_migrations import REVISIONS, database_at, set_revision
from tests.support.memories import in_namespace, recalled, trace, vector


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add_many(trace(number) for number in range(8))
        memory.add(trace(8, shelf=in_namespace("other"), query="[bold]ünïcode[/bold] \x1b[31m\a"))
        memory.add(trace(9, query=None, answer=None))
    return path


def run(*words: object) -> str:
    """Run the command line, which must succeed; return what it writes to stdout."""
    result = CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": "80"})
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


def told(*words: object) -> Any:
    """Run a command with ``--json``: one object, and nothing else, on stdout."""
    output = run(*words, "--json")
    assert output.count("\n") == 1
    return json.loads(output)


def refused(monkeypatch: pytest.MonkeyPatch, capsys: Any, *words: object) -> str:
    """Run the command line, which must refuse with one line on stderr and exit code 2."""
    monkeypatch.setattr(sys, "argv", ["latent-agent", *map(str, words)])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("latent-agent: ")
    return captured.err


def test_status_counts(path: Path) -> None:
    found = told("memory", "status", "--memory", path)
    assert (found["traces"], found["path"], found["revision"]) == (10, str(path), REVISIONS[-1])
    assert sorted(info["traces"] for info in found["shelves"]) == [1, 9]
    output = run("memory", "status", "--memory", f"sqlite:///{path}")
    assert "10 traces" in output
    assert "other" in output


def test_a_memory_is_copied(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    other = tmp_path / "other.sqlite3"
    found = told("memory", "copy", path, other)
    assert found == {"copied": 10, "from": str(path), "to": str(other)}
    assert told("memory", "status", "--memory", other)["traces"] == 10
    for target in (path, other):
        assert "must be copied" in refused(monkeypatch, capsys, "memory", "copy", path, target)
    assert "Copied 10 traces from" in run("memory", "copy", path, tmp_path / "third.sqlite3")


def test_list_shows_the_newest_and_goes_on(path: Path) -> None:
    found = told("memory", "list", "--memory", path, "--limit", 3)
    assert [info["id"] for info in found["traces"]] == [10, 9, 8]
    found = told("memory", "list", "--memory", path, "--limit", 3, "--before", 8)
    assert [info["id"] for info in found["traces"]] == [7, 6, 5]
    found = told("memory", "list", "--memory", path, "--namespace", "other")
    assert [info["query"] for info in found["traces"]] == ["[bold]ünïcode[/bold] \x1b[31m\a"]


def test_show_tells_all_of_a_trace(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    found = told("memory", "show", 3, "--memory", path)
    assert (found["query"], found["answer"]) == ("question 2?", "answer 2.")
    assert (found["latents"], found["tokens"]) == ([4, 8], [0, 1, 2, 3])
    assert "question 2?" in run("memory", "show", 3, "--memory", path)
    assert "got 77" in refused(monkeypatch, capsys, "memory", "show", 77, "--memory", path)


def test_tables_fit_80_columns_and_leave_the_terminal_alone(tmp_path: Path) -> None:
    path = tmp_path / "a long name for a folder" / "a long name for a database.sqlite3"
    with LatentMemory(path) as memory:
        shelf = in_namespace("ünïcode ✓ [red] " * 12)
        long = trace(1, shelf=shelf, query="\x1b]0;x\a[link=x]" + "why? " * 200, stopped="x" * 200)
        memory.add_many([long] * 3)
    for words in (("status",), ("list",), ("show", 1)):
        output = run("memory", *words, "--memory", path)
        lines = [line for line in output.splitlines() if str(path) not in line]
        assert max(map(len, lines)) <= 80
        assert "\x1b" not in output
        assert "\a" not in output
        assert "[red]" in output or words == ("list",)


def test_forgetting_by_id_by_namespace_and_by_age(path: Path) -> None:
    assert told("memory", "forget", 1, 2, 77, "--memory", path, "--yes") == {"erased": 2}
    assert told("memory", "forget", "--namespace", "other", "--memory", path, "--yes") == {
        "erased": 1
    }
    assert told("memory", "forget", "--older-than", 1, "--memory", path, "--yes") == {"erased": 0}
    assert "erased 7 traces" in run(
        "memory", "forget", "--older-than", 0, "--memory", path, "--yes"
    )
    assert told("memory", "status", "--memory", path)["traces"] == 0


def test_nothing_is_erased_unasked(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for words in (("forget", 1), ("forget", "--namespace", "default"), ("prune", "--keep", 1)):
        assert "give --yes" in refused(monkeypatch, capsys, "memory", *words, "--memory", path)
    assert "got nothing" in refused(monkeypatch, capsys, "memory", "forget", "--memory", path)
    unsaid = refused(monkeypatch, capsys, "memory", "prune", "--memory", path)
    assert "got no condition" in unsaid
    assert "--keep, --max-age or --min-score" in unsaid
    assert told("memory", "status", "--memory", path)["traces"] == 10
    assert told("memory", "forget", 77, "--memory", path) == {"erased": 0}, "nothing to ask about"


@pytest.mark.parametrize(("reply", "left"), [(b"n\n", 10), (b"\n", 10), (b"y\n", 9)])
def test_a_terminal_is_asked(path: Path, reply: bytes, left: int) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", "from latent_agent.cli import main; main()"]
    process = subprocess.Popen(
        [*command, "memory", "forget", "1", "--memory", str(path)],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    os.write(ours, reply)
    _, err = process.communicate(timeout=60)
    os.close(ours)
    assert b"Erase 1 traces" in err
    assert process.returncode == (0 if left == 9 else 1)
    assert told("memory", "status", "--memory", path)["traces"] == left


def test_pruning_keeps_the_most_useful(path: Path) -> None:
    assert told("memory", "prune", "--keep", 3, "--memory", path, "--yes") == {"erased": 6}
    assert told("memory", "prune", "--min-score", -0.1, "--memory", path, "--yes") == {"erased": 4}


def test_an_export_is_imported_elsewhere(path: Path, tmp_path: Path) -> None:
    assert told("memory", "export", tmp_path / "e", "--memory", path) == {"exported": 10}
    there = tmp_path / "there.sqlite3"
    assert told("memory", "import", tmp_path / "e", "--memory", there) == {"imported": 10}
    with LatentMemory(there) as memory:
        assert recalled(memory, vector(3), k=1) == [4]


def test_a_torn_import_is_refused(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    run("memory", "export", tmp_path / "e", "--memory", path)
    lines = tmp_path / "e" / "traces.jsonl"
    lines.write_text("".join(lines.read_text().splitlines(keepends=True)[:3]) + '{"id":4,"sh')
    error = refused(monkeypatch, capsys, "memory", "import", tmp_path / "e", "--memory", path)
    assert "line 4: the line must be whole" in error
    assert told("memory", "status", "--memory", path)["traces"] == 10


def test_verify_exits_with_1_if_something_is_wrong(path: Path) -> None:
    assert told("memory", "verify", "--memory", path) == {"problems": []}
    with LatentMemory(path) as memory, memory.database.write() as connection:
        connection.exec_driver_sql("UPDATE texts SET answer = 'another' WHERE trace = 4")
    result = CliRunner().invoke(app, ["memory", "verify", "--memory", str(path), "--json"])
    assert result.exit_code == 1
    (problem,) = json.loads(result.stdout)["problems"]
    assert (problem["kind"], problem["trace"]) == ("trace", 4)
    assert "latent-agent memory forget 4" in problem["text"]
    assert told("memory", "forget", 4, "--memory", path, "--yes") == {"erased": 1}
    assert told("memory", "verify", "--memory", path) == {"problems": []}


def test_rebuilding_and_compacting(path: Path) -> None:
    with LatentMemory(path) as memory:
        memory.add_many(trace(100 + number, answer="a" * 50_000) for number in range(40))
        memory.forget(ids=range(11, 51))
    before = path.stat().st_size
    assert told("memory", "rebuild", "--memory", path) == {"indexed": 10}
    assert path.stat().st_size == before
    assert told("memory", "rebuild", "--compact", "--memory", path) == {"indexed": 10}
    assert path.stat().st_size < before / 2
    assert told("memory", "verify", "--memory", path) == {"problems": []}


def test_migrating(path: Path, tmp_path: Path) -> None:
    old = database_at(tmp_path / "old" / "m.sqlite3", "0001")
    plan = told("migrate", "--memory", old, "--dry-run")
    assert (plan["current"], plan["pending"], plan["backup"]) == ("0001", REVISIONS[1:], None)
    assert plan["dry_run"] is True
    output = run("migrate", "--memory", old)
    assert f"applied {REVISIONS[-1]}" in output
    assert "copied beforehand to" in output
    assert "nothing to do" in run("migrate", "--memory", old)
    assert told("migrate", "--memory", path)["pending"] == []


def test_a_database_behind_or_ahead_is_one_line(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    old = database_at(tmp_path / "old" / "m.sqlite3", "0001")
    error = refused(monkeypatch, capsys, "memory", "list", "--memory", old)
    assert f"run: latent-agent migrate --memory {old}" in error
    set_revision(path, "9998")
    for words in (("memory", "list"), ("migrate",)):
        assert "newer version made" in refused(monkeypatch, capsys, *words, "--memory", path)


def test_a_location_that_is_none_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for at in ("mysql://x/y", tmp_path, tmp_path / "nowhere.sqlite3"):
        for words in (("memory", "status"), ("memory", "export", "e"), ("migrate",)):
            assert refused(monkeypatch, capsys, *words, "--memory", at)
    assert list(tmp_path.iterdir()) == []
    assert issubclass(LatentMemoryError, Exception)


def test_the_default_is_in_the_user_data_folder(home: Path) -> None:
    with LatentMemory(default_location()) as memory:
        memory.add(trace(1))
    assert told("memory", "status")["path"].startswith(str(home))
    assert told("memory", "list")["traces"][0]["id"] == 1
