"""No home folder to keep a memory in: answers without memory, errors that say what to do."""

import json
import os
import pwd
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest

from latent_agent import ChatLatentSeek, TraceRetriever
from latent_agent.cli import main
from latent_agent.errors import ModelError
from latent_agent.model.fingerprint import folder_weights
from latent_agent.model.places import bundled_path
from latent_memory import LatentMemory, LocationError, default_location
from tests.conftest import XDG_FOLDERS
from tests.support.memories import run_python, trace

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
UNKNOWN = r"home folder, which must be an absolute path, got HOME=.*; set HOME, or .*--memory PATH"


def _unknown(uid: int) -> NoReturn:
    raise KeyError(f"getpwuid(): uid not found: {uid}")


@pytest.fixture(params=["unset", "relative", "a file", "beside a file", "not writable"])
def no_home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Leave the process without a home folder that a memory can be kept in."""
    for name in XDG_FOLDERS:
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", _unknown)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    home = {
        "relative": "home",
        "a file": f"{tmp_path}/file",
        "beside a file": f"{tmp_path}/file/home",
        "not writable": "/proc/1/home",  # for root, too
    }.get(request.param)
    if home is None:
        monkeypatch.delenv("HOME")
    else:
        monkeypatch.setenv("HOME", home)
    return request.param


def run(monkeypatch: pytest.MonkeyPatch, *words: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", ["latent-agent", *words])
    try:
        main()
    except SystemExit as left:
        return left.code
    return 0


@pytest.mark.usefixtures("no_home")
def test_a_call_warns_and_answers_without_memory(tmp_path: Path) -> None:
    chat = ChatLatentSeek(model="bundled", archive=-1.0)
    with pytest.warns(UserWarning, match=r"nothing is remembered: .*got .*; "):
        answer = chat.invoke(QUESTION)
    assert answer.text
    assert answer.response_metadata["latent_agent"]["trace_id"] is None
    with pytest.warns(UserWarning, match="nothing is remembered"):
        assert TraceRetriever(model="bundled").invoke(QUESTION) == []
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("no_home")
def test_ask_warns_and_answers(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.warns(UserWarning, match="nothing is remembered"):
        assert run(monkeypatch, "ask", QUESTION, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["answer"]
    assert printed["trace_id"] is None


@pytest.mark.usefixtures("no_home")
def test_doctor_finds_no_place_for_a_memory(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    assert run(monkeypatch, "doctor", "--no-smoke", "--json") == 1
    by_name = {one["about"]: one for one in json.loads(capsys.readouterr().out)["findings"]}
    assert (by_name["model"]["state"], by_name["memory"]["state"]) == ("ok", "fail")
    assert "--memory" in by_name["memory"]["remedy"]


@pytest.mark.parametrize("no_home", ["unset", "a file"], indirect=True)
@pytest.mark.parametrize(
    "words",
    [
        *(["memory", name] for name in ("status", "list", "verify", "limits", "record")),
        ["memory", "show", "1"],
        ["memory", "forget", "1", "--yes"],
        ["memory", "export", "folder"],
        ["prior", "list"],
        ["migrate"],
        ["consolidate"],
        ["report"],
    ],
    ids=" ".join,
)
def test_what_needs_a_memory_says_what_to_do(
    words: list[str], no_home: str, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path
) -> None:
    assert run(monkeypatch, *words) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    error = printed.err.splitlines()[-1]
    assert error.startswith("latent-agent: a memory")
    assert "--memory" in error or "give a" in error or "choose one in a folder" in error
    if no_home == "unset":
        assert "set HOME, or name a place with --memory PATH" in error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.usefixtures("no_home")
def test_a_models_weights_are_told_apart_without_a_cache(tmp_path: Path) -> None:
    assert folder_weights(bundled_path()) == folder_weights(bundled_path())
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("no_home", ["unset"], indirect=True)
@pytest.mark.usefixtures("no_home")
def test_a_tilde_has_no_meaning(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="model must be a folder, got '~/model'"):
        ChatLatentSeek(model="~/model", memory=None).invoke(QUESTION)
    with pytest.raises(LocationError, match=UNKNOWN):
        default_location()
    with pytest.raises(LocationError, match=r"got '~/m.sqlite3' .*; give an absolute path"):
        LatentMemory("~/m.sqlite3")
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add(trace(1))
        for move in (memory.export, memory.import_):
            with pytest.raises(LocationError, match=r"got '~/export' .*; give an absolute path"):
                move(Path("~/export"))


ALONE = """
import os, warnings
if os.geteuid() == 0:
    os.setresuid(54321, 0, 0)  # a user without an entry, who may still read the installation
from latent_agent import ChatLatentSeek
from latent_agent.cli import app

with warnings.catch_warnings(record=True) as drawn:
    warnings.simplefilter("always")
    assert ChatLatentSeek(model="bundled", max_iterations=0).invoke("What is 2 + 3?").text
(warning,) = [str(one.message) for one in drawn if "nothing is remembered" in str(one.message)]
print(warning)
try:
    app(["doctor", "--no-smoke", "--json"], standalone_mode=False)
except SystemExit:
    pass
"""


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without an entry")
def test_a_user_without_an_entry_is_answered(tmp_path: Path) -> None:
    """As in a container that is run under a number of its own; nothing else asks for a home."""
    bare = {
        name: value
        for name, value in os.environ.items()
        if name != "HOME" and not name.startswith("XDG_")
    }
    bare["OMP_NUM_THREADS"] = "1"
    done = run_python(ALONE, env=bare, cwd=tmp_path)
    warning, report = done.stdout.splitlines()
    assert "got HOME=None" in warning
    states = {one["about"]: one["state"] for one in json.loads(report)["findings"]}
    assert states == {"versions": "ok", "model": "ok", "memory": "fail"}
    assert list(tmp_path.iterdir()) == []
