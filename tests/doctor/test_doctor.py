"""``latent-agent doctor``: what is well, what is not, and what to do about it."""

import json
import re
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from latent_agent import ChatLatentSeek
from latent_agent.cli import app
from latent_agent.doctor import speed
from latent_agent.doctor.memory import look_at_memory
from latent_agent.model.cores import cores
from latent_agent.model.options import LoadOptions
from latent_agent.nights.lock import night_lock
from latent_agent.nights.night import consolidate
from latent_memory import IndexSettings, LatentMemory, Limits
from latent_memory.priors.nights import Result, begin_night, end_night
from tests.support.memories import SHELF, as_nobody, trace, vector
from tests.support.night_world import day, job, open_at, usable_prior

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
    assert {"versions", "model", "disk", "contents", "speed", "call"} <= found.keys()
    assert {"prior of default", "nights of default"} <= found.keys()


def test_speed_names_engine_precision_and_threads() -> None:
    _, found = examined("--dtype", "bfloat16", "--threads", "1")
    text = rf"transformers, bfloat16, 1 of {cores()} cores: \d+\.\d tokens a second"
    assert re.fullmatch(text, found["speed"]["text"])
    assert found["speed"]["remedy"] == ""  # a model this small is fast on anything


def test_what_would_make_a_larger_model_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "_LARGE", 1)
    monkeypatch.setattr("os.getloadavg", lambda: (cores() + 5.0, 0.0, 0.0))
    (found,) = speed.look_at_speed("bundled", LoadOptions())
    assert re.match(
        r"faster .*GGUF.*llama-cpp.*; other programs are busy .*--threads", found.remedy
    )


def test_no_memory_yet_is_no_fault(tmp_path: Path) -> None:
    path = tmp_path / "none.sqlite3"
    code, found = examined("--memory", path, "--no-smoke")
    assert (code, found["memory"]["state"]) == (0, "ok")
    assert "call" not in found
    assert not path.exists()


def test_a_place_where_no_memory_can_be_made_fails_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file" / "m.sqlite3", "/proc/x/y", "postgres://x"):
        code, found = examined("--memory", place, "--no-smoke")
        assert (code, found["memory"]["state"]) == (1, "fail")
        assert found["memory"]["remedy"].startswith("give a")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_a_memory_that_cannot_be_written_is_warned_of(open_folder: Path) -> None:
    place = open_folder / "m.sqlite3"
    with LatentMemory(place) as opened:
        opened.add(trace())
    place.chmod(0o444)

    def work() -> None:
        found = next(look_at_memory(place, thorough=False))
        assert (found.state, "not written" in found.text) == ("warn", True)
        assert "make the file and its folder writable" in found.remedy

    as_nobody(work)


def test_a_memory_without_a_total_is_warned_of(memory: Path) -> None:
    with LatentMemory(memory) as opened:
        opened.set_limits(Limits(capacity=20, total=None))
    code, found = examined("--memory", memory, "--no-smoke")
    assert (code, found["limits"]["state"]) == (0, "warn")
    words = shlex.split(found["limits"]["remedy"])
    assert CliRunner().invoke(app, words[1:]).exit_code == 0
    assert examined("--memory", memory, "--no-smoke")[1]["limits"]["state"] == "ok"
    with LatentMemory(memory) as opened:
        assert opened.limits() == Limits(capacity=20)


def test_a_file_that_is_no_database_fails_with_a_remedy(tmp_path: Path) -> None:
    path = tmp_path / "a; b's" / "junk.sqlite3"
    path.parent.mkdir()
    path.write_text("no database")
    code, found = examined("--memory", path, "--no-smoke")
    assert (code, found["memory"]["state"]) == (1, "fail")
    assert found["memory"]["remedy"].startswith("give another path")
    assert "a; b's" in found["memory"]["text"]
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


def test_a_active_prior_that_is_damaged_fails(tmp_path: Path) -> None:
    with open_at(tmp_path) as opened:
        shelf = day(opened)
        assert consolidate(job(opened, shelf)).verdict == "published"
        usable_prior(opened, shelf)  # once read, it is known to this process
    place = opened.path
    code, found = examined("--memory", place, "--no-smoke")
    assert (code, found["prior of default"]["state"]) == (0, "ok")
    assert found["nights of default"]["state"] == "ok"
    (file,) = place.with_name("memory.sqlite3.priors").glob("*.safetensors")
    whole = file.read_bytes()
    for damaged in (b"garbage", whole[:-9], None):
        file.unlink() if damaged is None else file.write_bytes(damaged)
        code, found = examined("--memory", place, "--no-smoke")
        assert (code, found["prior of default"]["state"]) == (1, "fail")
        assert "a prior's file must be whole" in found["prior of default"]["text"]
        remedy = found["prior of default"]["remedy"]
        assert "latent-agent prior rollback --namespace default" in remedy
        assert "latent-agent consolidate" in remedy


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        (["published"], "ok"),
        (["refused"], "ok"),
        (["refused", "refused"], "ok"),
        (["refused", "published", "refused", "refused"], "ok"),
        (["published", "refused", "refused", "refused"], "warn"),
        (["failed"], "warn"),
        (["unjudged", "unjudged"], "warn"),
        (["failed", "refused"], "ok"),
        (["published", "killed"], "warn"),
        (["published", None], "warn"),  # it never ended, and nobody is at it
        (["failed", "stopped"], "ok"),
    ],
)
def test_nights_that_come_to_nothing_are_warned_of(
    tmp_path: Path, verdicts: list[str | None], state: str
) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as opened:
        opened.add(trace())
        for verdict in verdicts:
            night = begin_night(opened.database, SHELF, seed=0, inputs={})
            if verdict is not None:
                result = Result(verdict=verdict, reason="the reason; why", seconds=1.0)
                end_night(opened.database, night, result)
    code, found = examined("--memory", opened.path, "--no-smoke")
    about = found["nights of default"]
    assert (code, about["state"]) == (0, state)
    assert bool(about["remedy"]) == (state == "warn")
    if state == "warn" and verdicts[-1] not in ("killed", None):
        assert "the reason; why" in about["text"]


def test_a_night_that_is_running_is_not_taken_for_killed(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as opened:
        opened.add(trace())
        with night_lock(opened.database):
            begin_night(opened.database, SHELF, seed=0, inputs={})
            about = examined("--memory", opened.path, "--no-smoke")[1]["nights of default"]
    assert (about["state"], "running" in about["text"]) == ("ok", True)


def test_an_index_file_that_is_not_used_is_warned_of(tmp_path: Path) -> None:
    place = tmp_path / "m.sqlite3"
    settings = IndexSettings(flat_until=40, members=2)
    with LatentMemory(place, index=settings) as opened:
        opened.add_many(trace(number) for number in range(120))
        opened.recall(vector(0), shelf=SHELF, k=1)
        opened.add_many(trace(number) for number in range(200, 203))  # it need not know these
        opened.forget(ids=[5, 6])  # nor this
    (file,) = place.with_name("m.sqlite3.index").glob("*.index")

    def index() -> dict[str, str]:
        return examined("--memory", place, "--no-smoke")[1]["index of default"]

    assert (index()["state"], "120 traces" in index()["text"]) == ("ok", True)
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    assert "not a whole index file" in index()["text"]
    file.write_bytes(b"garbage")
    assert (index()["state"], index()["remedy"]) == ("warn", "latent-agent memory rebuild")
    file.write_bytes(whole)
    assert index()["state"] == "ok"
    for fault, statement in {
        "of generation": "UPDATE shelves SET generation = generation + 1",
        "holds 120 traces of 119": "DELETE FROM traces WHERE id = 9",
    }.items():
        shutil.copy(place, tmp_path / "kept")
        with closing(sqlite3.connect(place)) as connection, connection:
            connection.execute(statement)
        assert (index()["state"], fault in index()["text"]) == ("warn", True)
        shutil.copy(tmp_path / "kept", place)
    file.unlink()
    assert index()["state"] == "ok"  # it can be deleted at any time


def test_rebuilding_mends_what_is_said_of_an_index(tmp_path: Path) -> None:
    place = tmp_path / "m.sqlite3"
    with LatentMemory(place, index=IndexSettings(flat_until=40, members=2)) as opened:
        opened.add_many(trace(number) for number in range(120))
        opened.recall(vector(0), shelf=SHELF, k=1)
    (file,) = place.with_name("m.sqlite3.index").glob("*.index")
    file.write_bytes(b"garbage")
    assert examined("--memory", place, "--no-smoke")[1]["index of default"]["state"] == "warn"
    with LatentMemory(place) as opened:  # so few need no file any more
        opened.rebuild()
    assert examined("--memory", place, "--no-smoke")[1]["index of default"]["state"] == "ok"
    assert not file.exists()


def test_the_table_fits_eighty_columns(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = run("--memory", memory, "--no-smoke")
    assert result.exit_code == 0
    assert max(len(line) for line in result.stdout.splitlines()) <= 80
