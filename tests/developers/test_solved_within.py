"""``python -m dev.solved_within``: which searches put wrong drafts right, and how soon."""

import json
from dataclasses import asdict
from io import StringIO
from pathlib import Path

from rich.console import Console

from dev.solved_within import collect, outcome, table
from latent_agent.evaluation.records import Point, Record


def record(method: str, item: str, said: str, truth: str = "R") -> Record:
    """A record whose answers are single letters, the draft first; ``truth`` is the right one."""
    points = tuple(
        Point(forwarded=n, text=text, right=text == truth, answer_right=text == truth)
        for n, text in enumerate(said)
    )
    return Record(method=method, seed=0, item=item, place=0, points=points)


def test_answers_that_were_written_before_are_no_new_ones() -> None:
    assert outcome(record("x+psrm", "a", "AAABR")) == (2, 2)
    assert outcome(record("x+psrm", "a", "ABBCA")) == (None, 2)
    assert outcome(record("x+psrm", "a", "RAB")) is None


def test_only_drafts_count_that_are_wrong_for_all(tmp_path: Path) -> None:
    rows = [
        record("one+psrm", "a", "ABR"),
        record("one+psrm", "b", "ABC"),
        record("one+psrm", "c", "R"),
        record("two+psrm", "a", "AR"),
        record("two+psrm", "b", "ACDR"),
        record("two+psrm", "c", "R"),
        record("greedy", "a", "A"),
    ]
    text = "".join(json.dumps(asdict(row)) + "\n" for row in rows)
    (tmp_path / "records.jsonl").write_text(text)
    console = Console(width=100, record=True, file=StringIO())
    console.print(table(collect([tmp_path])))
    said = console.export_text()
    assert "2 wrong drafts" in said
    assert "greedy" not in said
    (one,) = (line for line in said.splitlines() if "one+psrm" in line)
    (two,) = (line for line in said.splitlines() if "two+psrm" in line)
    assert [cell.strip() for cell in one.split("│")[2:6]] == ["0", "1", "1", "1"]
    assert [cell.strip() for cell in two.split("│")[2:6]] == ["1", "1", "2", "2"]
