"""What calibrate says of rewards that cost nothing."""

import json
import math
from pathlib import Path

import pytest
from typer.testing import CliRunner

from latent_agent.cli import app
from latent_agent.evaluation.bench import attempt
from latent_agent.evaluation.calibration import calibrate, free_rewards, judged
from latent_agent.evaluation.methods import METHODS
from latent_agent.evaluation.records import Point, Record
from latent_agent.evaluation.setup import EvaluationRequest, experiment


def record(number: int, *answers: tuple[str, bool, bool]) -> Record:
    """A record of answers, each a text, whether it is right, and whether it is whole."""
    points = [
        Point(
            forwarded=1, text=text, right=right, answer_right=right, reward=-1.0, complete=complete,
            repeated=text in [other for other, *_ in answers[:place]],
        )
        for place, (text, right, complete) in enumerate(answers)
    ]  # fmt: skip
    return Record(
        method="judged-samples", seed=0, item=str(number), place=number, points=points,
        question=f"What is {number}?", right=answers[0][1],
    )  # fmt: skip


def said(number: int, right: bool, *, whole: bool = True) -> tuple[str, bool, bool]:
    return f"1 + 1 = {2 if right else 3}. The answer is {number}.", right, whole


def test_agreement_counts_answers_that_are_said_again() -> None:
    records = [record(one, said(5, False), said(6, True), said(6, True)) for one in range(8)]
    found = free_rewards(records)["agreement"]
    assert found.best.mean == 1
    assert found.gain.difference.mean == 1
    assert found.within.mean == 1
    assert len(judged(records[0])) == 2


def test_an_answer_that_is_longer_than_the_budget_counts_as_wrong() -> None:
    records = [record(one, said(6, True, whole=False), said(6, True)) for one in range(4)]
    figures = calibrate(records)
    assert figures["cut_off"] == 4
    assert free_rewards(records)["agreement"].best.mean == 1
    assert free_rewards(records)["agreement"].gain.difference.mean == 1


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_all_right_or_all_wrong_finds_no_threshold(right: bool, count: int) -> None:
    found = free_rewards([record(one, said(6, right), said(6, right)) for one in range(count)])
    for figures in found.values():
        assert math.isnan(figures.threshold)
        assert math.isnan(figures.right)
        assert figures.best.mean == float(right)


def test_nothing_judged_says_nothing() -> None:
    assert calibrate([])["rewards"] == {}


def test_samples_that_are_repeated_stand_among_the_points() -> None:
    made = experiment(EvaluationRequest(questions=2, settings={"max_iterations": 3}))
    for item in made.plan.items:
        blank = Record(method="judged-samples", seed=0, item=item.key, place=0)
        points = attempt(METHODS["judged-samples"], made.bench, item, blank).points
        asked = [point for point in points if point.reward is not None]
        assert len(asked) == 4  # the draft, and three samples
        texts = [point.text for point in asked]
        first = {text: texts.index(text) for text in texts}
        assert [point.repeated for point in asked] == [
            place != first[text] for place, text in enumerate(texts)
        ]


def test_a_file_of_two_questions_is_enough_for_a_table_and_for_no_claim(tmp_path: Path) -> None:
    data = tmp_path / "two.jsonl"
    rows = [{"question": f"What is {one} + 1?", "answer": str(one + 1)} for one in (1, 2)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = CliRunner().invoke(
        app,
        ["calibrate", "--data", str(data), "--samples", "2", "--out", str(tmp_path / "c"),
         "--max-tokens", "2", "--quiet"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "cost nothing" in result.output
    assert "not shown" in " ".join(result.output.split())
    assert "longer than max_tokens" in " ".join(result.output.split())
