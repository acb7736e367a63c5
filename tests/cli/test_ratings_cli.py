"""Feedback from the command line, and where ratings are shown."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latent_memory import UNRATED, Awaited, Feedback, LatentMemory
from tests.cli.test_memory_cli import refused, run, told
from tests.cli.test_report import Tags, page
from tests.support.memories import SHELF, in_namespace, trace

RUN = "0b9c8a5e-6a57-4f0e-9d0e-000000000001"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Trace 1 of the default namespace, 2 of another, 3 waits for a rating and has a run."""
    path = tmp_path / "m.sqlite3"
    with LatentMemory(path) as memory:
        memory.add_many([trace(1), trace(2, shelf=in_namespace("other"))])
        memory.add(trace(3, shelf=replace(SHELF, reward=UNRATED)), awaited=Awaited(run=RUN))
    return path


@pytest.mark.parametrize(
    ("score", "reward"), [("up", "0.00"), ("down", "-1.00"), ("0.75", "-0.25")]
)
def test_an_answer_is_rated(path: Path, score: str, reward: str) -> None:
    assert f"Answer 1 has a reward of {reward}" in run("memory", "rate", 1, score, "--memory", path)
    assert f"rated {reward}" in run("memory", "list", "--memory", path)


def test_an_answer_is_rated_by_its_run(path: Path) -> None:
    assert "Answer 3 has" in run("memory", "rate", RUN, "up", "--memory", path)


def test_a_correction_waits_for_the_model(path: Path) -> None:
    words = ("memory", "rate", 1, "down", "--correction", "so", "--comment", "\x1b]0;x\a why")
    assert "its correction is read" in run(*words, "--memory", path)
    status = run("memory", "status", "--memory", path)
    assert "rated: 0 up, 1 down; 1 corrections wait for the model" in status
    shown = run("memory", "show", 1, "--memory", path)
    assert "user 0.00, which decides" in shown
    assert "correction: so" in shown
    assert "\x1b" not in shown
    found = told("memory", "show", 1, "--memory", path)
    assert found["rating"] == -1.0
    assert [one["correction"] for one in found["feedback"]] == ["so"]


@pytest.mark.parametrize(
    ("id_", "score", "whose", "said"),
    [
        (1, "1.5", "default", "got 1.5"),
        (1, "nan", "default", "got nan"),
        (1, "good", "default", "got 'good'"),
        (2, "up", "default", "got 2"),
        (99, "up", "default", "got 99"),
        ("no-run", "up", "default", "UUID"),
        (RUN, "up", "other", "that namespace 'other' holds"),
    ],
)
def test_what_is_no_feedback_is_refused(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    id_: object,
    score: str,
    whose: str,
    said: str,
) -> None:
    words = ("memory", "rate", id_, score, "--namespace", whose, "--memory", path)
    assert said in refused(monkeypatch, capsys, *words)
    assert told("memory", "status", "--memory", path)["ratings"]["days"] == []


def test_ratings_are_shown_everywhere_and_copies_nowhere(path: Path) -> None:
    assert "rated:" not in run("memory", "status", "--memory", path)
    assert "answers rated" not in Tags(page(path)).text
    with LatentMemory(path) as memory:
        memory.rate(1, Feedback(score=1.0), namespace="default")
        memory.rate(3, Feedback(score=0.0), namespace="default")
    assert [row["id"] for row in told("memory", "list", "--memory", path)["traces"]] == [3, 2, 1]
    text = Tags(page(path)).text
    assert "1 / 1 answers rated right / wrong" in text
    assert "Feedback, a day" in text
    assert "answers rated" not in Tags(page(path, "--namespace", "other")).text
    ratings = told("memory", "status", "--memory", path)["ratings"]
    assert (ratings["up"], ratings["down"]) == (1, 1)
    assert [(day["up"], day["down"]) for day in ratings["days"]] == [(1, 1)]
