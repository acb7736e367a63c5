"""Questions in the published layouts, checkers, and statistics on known cases."""

import json
import threading
from dataclasses import asdict
from pathlib import Path

import pytest

from latent_agent.errors import EvaluationError
from latent_agent.evaluation.checking import CHOICE, EXACT, FITTING, FORMULA, checker_named
from latent_agent.evaluation.items import Item, load_items
from latent_agent.evaluation.records import Point, Record, best_said, most_voted
from latent_agent.evaluation.statistics import compare, estimate, ratio
from latent_agent.evaluation.summary import curves, tries_for


def write(folder: Path, *rows: object) -> str:
    path = folder / "questions.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return str(path)


def item(truth: str, **more) -> Item:
    return Item(key="1", question="?", truth=truth, **more)


@pytest.mark.parametrize(
    ("row", "truth"),
    [
        ({"question": "?", "answer": "5 * 200 = <<5*200=1000>>1,000\n#### 1,000"}, "1000"),
        ({"question": "?", "answer": "#### -3"}, "-3"),
        ({"problem": "?", "solution": r"So \boxed{x}.", "answer": r"\frac{1}{2}"}, r"\frac{1}{2}"),
        ({"Problem": "?", "Answer": 73}, "73"),
        ({"ID": "2024-I-1", "Question": "?", "Answer": "025", "Part": None}, "025"),
        ({"question": "?", "choices": ["a", "b", "c"], "answer": "C"}, "C"),
        ({"question": "?", "choices": ["a", "b", "c"], "answer": 1}, "B"),
        ({"question": "?", "options": {"A": "x", "B": "y"}, "answer": "B"}, "B"),
        ({"question": "?", "choices": {"text": ["x", "y"], "label": ["1", "2"]}, "answerKey": "2"},
         "B"),
        ({"question": "?", "choices": ["red", "blue"], "answer": "blue"}, "B"),
    ],
)  # fmt: skip
def test_published_layouts(tmp_path, row, truth):
    (found,) = load_items(write(tmp_path, row))
    assert found.truth == truth
    assert found.question.startswith("?")
    if found.choices:
        assert all(choice in found.question for choice in found.choices)


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("{no json", "line 2 of .* must be a JSON object .*; fix or drop the line"),
        ("[1]", r"line 2 of .*\(it is no JSON object"),
        ({"answer": "1"}, r"line 2 of .*\(it has no question"),
        ({"question": {"text": "?"}, "answer": "1"}, r"line 2 of .*\(its question must be a text"),
        ({"question": ["?"], "answer": "1"}, r"line 2 of .*\(its question must be a text"),
        ({"question": 5, "answer": "1"}, r"line 2 of .*\(its question must be a text"),
        ({"question": "?", "choices": [{"a": 1}, "b"], "answer": "B"}, r"its choices must be text"),
        ({"question": "?"}, r"line 2 of .*\(it has no answer"),
        ({"question": "?", "answer": ["1"]}, r"line 2 of .*\(its answer must be a text"),
        ({"question": "?", "choices": ["a", "b"], "answer": "D"}, r"line 2 of .*\(its answer must"),
        ({"question": "?", "choices": ["a"], "answer": "A"}, r"line 2 of .*\(its choices must"),
    ],
)
def test_a_bad_line_is_told_by_its_number(tmp_path, row, rule):
    path = write(tmp_path, {"question": "?", "answer": "1"}, row)
    with pytest.raises(EvaluationError, match=rule):
        load_items(path)


def test_no_file_no_question_no_split(tmp_path):
    with pytest.raises(EvaluationError, match=r"or a JSON Lines file.*; give the path"):
        load_items(str(tmp_path / "none.jsonl"))
    with pytest.raises(EvaluationError, match="at least one question"):
        load_items(write(tmp_path, ""))
    with pytest.raises(EvaluationError, match="split must be one of train, validation"):
        load_items("bundled:exam")


def test_the_teaching_world_by_split_and_family():
    both = load_items("bundled:test+unseen", 7)
    assert len(both) == 14
    assert {one.family for one in both[7:]} == {"verbs", "weather"}
    few = load_items("bundled", 6, families=("story", "units"))
    assert [one.family for one in few] == ["story", "units"] * 3
    assert [one.planted for one in few[:2]] == [True, False]
    more = load_items("bundled", 12, families=("story", "units"))
    assert more[:6] == few  # a longer draw begins as a shorter one
    with pytest.raises(EvaluationError, match="at least one question"):
        load_items("bundled", 6, families=("weather",))


@pytest.mark.parametrize(
    ("truth", "answer", "right"),
    [
        ("1000", "She pays 1,000 coins. The answer is 1,000.", True),
        (r"\frac{1}{2}", r"Thus \boxed{0.5}.", True),
        ("7", r"\boxed{8}", False),
        ("025", "The answer is 25.", True),
        ("Monday", "So the answer is monday.", True),
        ("Monday", "It was Monday. The answer is Sunday.", False),
        ("7", "", False),
    ],
)
def test_formulas_and_words(truth, answer, right):
    assert FORMULA.is_right(item(truth), answer) is right


def test_the_truth_comes_first():
    """A bare value fits a truth that is an assignment the other way round only."""
    assert FORMULA.is_right(item("4"), r"\boxed{x = 4}")
    assert not FORMULA.is_right(item(r"$x = 4, y = 5$"), r"\boxed{4}")


def test_formulas_off_the_main_thread():
    found = []
    work = threading.Thread(
        target=lambda: found.append(FORMULA.is_right(item("1/2"), r"\boxed{0.5}"))
    )
    work.start()
    work.join()
    assert found == [True]


def test_equal_values_are_one_vote():
    finals = [FORMULA.final(item("1"), rf"\boxed{{{text}}}") for text in ("0.5", r"\frac12", "3")]
    assert finals[0] == finals[1] != finals[2]


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("The answer is (B).", "B"),
        ("B", "B"),
        ("A is wrong, so the answer is C", "C"),
        (r"\boxed{\text{A}}", "A"),
        ("Answer: **B**", "B"),
        ("I think it is\nC.", "C"),
        ("The answer is green.", "B"),
        ("The answer is E.", None),
        ("A dog.", None),
    ],
)
def test_choices(answer, letter):
    asked = item("B", choices=("red", "green", "blue"))
    assert CHOICE.final(asked, answer) == letter
    assert FITTING.is_right(asked, answer) is (letter == "B")


def test_other_checks(tmp_path, monkeypatch):
    assert EXACT.is_right(item("New York"), "Well.\nNew York.")
    world = item("12", world=True)
    assert FITTING.is_right(world, "We add. 7 + 5 = 12. The answer is 12.")
    assert not checker_named("bundled").is_right(world, "It is 12.")
    (tmp_path / "longer_than_truth.py").write_text(
        "def check(question, truth, answer):\n    return len(answer) > len(truth)\n"
    )
    monkeypatch.chdir(tmp_path)
    told = checker_named("longer_than_truth:check")
    assert told.is_right(item("1"), "22")
    assert not told.is_right(item("1"), "2")
    with pytest.raises(EvaluationError, match="check must be one of"):
        checker_named("magic")
    with pytest.raises(EvaluationError, match="check must be importable"):
        checker_named("longer_than_truth:none")


def test_votes_and_best_answers():
    assert most_voted(["7", "8", None, "8"]) == 1
    assert most_voted(["7", "8"]) == 0  # a tie: what was said first
    assert most_voted([None, "8"]) == 1
    assert most_voted([None, None]) == 0
    said = [
        {"accepted": False, "reward": None},
        {"accepted": False, "reward": -0.1},
        {"accepted": True, "reward": -0.15},
        {"accepted": True, "reward": -0.15},
    ]
    assert [best_said(said[:count]) for count in (1, 2, 3, 4)] == [0, 1, 2, 2]


def test_intervals_of_known_cases():
    half = estimate([1.0, 0.0] * 50, share=True)
    assert half.mean == 0.5
    assert half.low == pytest.approx(0.402, abs=0.02)  # the normal one: 0.5 -+ 0.098
    assert half.high == pytest.approx(0.598, abs=0.02)
    sure = estimate([1.0] * 20, share=True)
    assert (sure.mean, sure.high) == (1.0, 1.0)
    assert sure.low == pytest.approx(0.839, abs=0.001)  # Wilson, 20 of 20
    assert estimate([1.0, 0.0] * 50) == estimate([1.0, 0.0] * 50)  # no chance between reports
    parts = ratio([2, 0, 0], [2, 2, 0])
    assert parts.mean == 0.5
    assert parts.low <= 0.5 <= parts.high


def test_a_paired_test_of_a_known_case():
    ours, theirs = [1] * 8 + [0] + [1] * 11, [0] * 8 + [1] + [1] * 11
    found = compare(ours, theirs)
    assert (found.better, found.worse) == (8, 1)
    assert found.p == pytest.approx(0.0390625)  # McNemar, exact: 2 * (1 + 9) / 2 ** 9
    assert found.difference.mean == pytest.approx(7 / 20)
    assert compare(ours, ours).p == 1.0


def record(name: str, *points: tuple[int, bool], cost: int | None = None) -> Record:
    told = [Point(forwarded=at, text="", right=right, answer_right=right) for at, right in points]
    return Record(
        method="m", seed=0, item=name, place=0, right=points[-1][1], points=told,
        forwarded={"draft": cost or points[-1][0]},
    )  # fmt: skip


def test_accuracy_against_cost():
    one = record("a", (10, False), (30, True), cost=40)
    two = record("b", (20, True))
    assert [one.after(tries) for tries in (0, 1, 2)] == [(10, False), (40, True), (40, True)]
    assert curves({"m": [one, two]})["m"] == [[15.0, 0.5], [30.0, 1.0]]
    assert [tries_for([one, two], mean) for mean in (15.0, 16.0, 99.0)] == [0, 1, 2]


def test_a_record_survives_json():
    before = record("a", (10, False), (30, True))
    assert Record.from_json(json.loads(json.dumps(asdict(before)))).points == tuple(before.points)
