"""Feedback in an export and an import: all of it, under new ids, or nothing."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latent_memory import FEEDBACK, Feedback, ImportFileError, LatentMemory
from latent_memory.feedback.rating import correct, read_copies
from latent_memory.feedback.rows import unread_corrections
from tests.support.memories import SHELF, in_namespace, recalled, trace, vector
from tests.support.servers import Place

HERE = SHELF.namespace
RATED = replace(SHELF, reward=FEEDBACK)


@pytest.fixture
def memory(place: Place):
    """Five traces: one corrected, one whose correction waits, one rated right, two that are not."""
    with LatentMemory(place("m.sqlite3")) as memory:
        ids = memory.add_many(trace(number) for number in range(1, 6))
        read = Feedback(score=0.0, comment="no", correction="a right answer")
        memory.rate(ids[0], Feedback(score=1.0, source="judge"), namespace=HERE)
        memory.rate(ids[0], read, namespace=HERE)
        with memory.database.read() as connection:
            (waiting,) = unread_corrections(connection, HERE, 10)
        (copy,) = read_copies(memory.database, [waiting])
        assert correct(memory.database, waiting, copy, copy.trace.base, copy.trace.base + 1, (7,))
        memory.rate(ids[1], replace(read, correction="another"), namespace=HERE)
        memory.rate(ids[2], Feedback(score=0.75, source="test"), namespace=HERE)
        yield memory


@pytest.fixture
def other(place: Place):
    with LatentMemory(place("other.sqlite3")) as other:
        other.add_many(trace(100 + number, shelf=in_namespace("before")) for number in range(3))
        yield other


def said(memory: LatentMemory) -> dict[str | None, Any]:
    """All that feedback says in a memory, by question."""
    ratings = memory.ratings([info.id for info in memory.list(limit=100)])
    found: dict[str | None, Any] = {}
    for id_, rating in ratings.items():
        stored, copy = memory.get(id_), memory.get(rating.copy)
        assert stored is not None
        assert copy is not None
        pieces = [(one.given, one.feedback) for one in memory.feedback(id_)]
        trace = copy.trace
        learned = (trace.answer, trace.score, trace.tokens, copy.created == stored.created)
        found[stored.trace.query] = (rating.reward, rating.pending, pieces, learned)
    return found


def test_feedback_goes_with_its_traces(
    memory: LatentMemory, other: LatentMemory, tmp_path: Path
) -> None:
    memory.export(tmp_path / "export")
    assert other.import_(tmp_path / "export") == 8
    assert len(said(memory)) == 3
    assert said(other) == said(memory)
    assert other.count_ratings() == memory.count_ratings()
    assert len(recalled(other, vector(1), shelf=RATED)) == 3
    assert other.has_unread(HERE)
    assert other.verify() == []
    (first,) = [info.id for info in other.list() if info.query == "question 1?"]
    assert other.rate(first, Feedback(score=1.0), namespace=HERE).reward == 0.0
    other.forget(namespace=HERE)
    assert said(other) == {}


def test_a_memory_without_texts_takes_scores_alone(memory: LatentMemory, tmp_path: Path) -> None:
    memory.export(tmp_path / "export")
    with LatentMemory(tmp_path / "bare" / "m.sqlite3", store_text=False) as bare:
        bare.import_(tmp_path / "export", namespace="new")
        pieces = [one.feedback for one in bare.feedback(1)]
        assert [(one.score, one.source, one.comment, one.correction) for one in pieces] == [
            (1.0, "judge", None, None),
            (0.0, "user", None, None),
        ]
        assert not bare.has_unread("new")
        assert b"right answer" not in bare.path.read_bytes()


def of_another_namespace(rows: list[dict[str, Any]]) -> None:
    rows[-2]["namespace"] = "other"


def of_a_trace_without_feedback(rows: list[dict[str, Any]]) -> None:
    rows[-2]["copy_of"]["of"] = 5


def of_nothing(rows: list[dict[str, Any]]) -> None:
    rows[-2]["copy_of"]["of"] = 99


def of_two_copies(rows: list[dict[str, Any]]) -> None:
    rows[-2]["copy_of"] = rows[-3]["copy_of"]


def no_source(rows: list[dict[str, Any]]) -> None:
    rows[0]["feedback"][0]["source"] = "nobody"


def no_text(rows: list[dict[str, Any]]) -> None:
    rows[0]["feedback"][1]["comment"] = " "


@pytest.mark.parametrize(
    "change",
    [
        *(of_another_namespace, of_a_trace_without_feedback, of_nothing, of_two_copies),
        *(no_source, no_text),
    ],
)
def test_what_does_not_fit_together_is_not_imported(
    memory: LatentMemory,
    other: LatentMemory,
    tmp_path: Path,
    change: Callable[[list[dict[str, Any]]], None],
) -> None:
    memory.export(tmp_path / "export")
    lines = tmp_path / "export" / "traces.jsonl"
    rows = [json.loads(line) for line in lines.read_text().splitlines()]
    change(rows)
    lines.write_text("".join(f"{json.dumps(row, separators=(',', ':'))}\n" for row in rows))
    with pytest.raises(ImportFileError, match="nothing was imported"):
        other.import_(tmp_path / "export")
    assert other.stats().traces == 3
    assert said(other) == {}
