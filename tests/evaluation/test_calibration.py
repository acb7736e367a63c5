"""A calibration: what it samples, compares and recommends, and what it makes of bad input."""

import json
import random
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from latent_agent import AgreementReward, ExactMatch, ScaleReward
from latent_agent.call.recipes.store import folder as recipes
from latent_agent.call.recipes.store import saved
from latent_agent.cli import app
from latent_agent.errors import EvaluationError, RecipeError, RewardError, SettingError
from latent_agent.evaluation.calibration.choosing import JudgedRound, choose, shown
from latent_agent.evaluation.calibration.evidence import Evidence
from latent_agent.evaluation.calibration.proof import BestJudge, Proof, judges, proof_of
from latent_agent.evaluation.calibration.report import figures, text
from latent_agent.evaluation.calibration.request import CalibrationRequest, times
from latent_agent.evaluation.calibration.scoring import Scored, compared
from latent_agent.evaluation.calibration.searching import Costs, Searched, latentseek, solved
from latent_agent.evaluation.pool_file import PooledAnswer, PooledQuestion
from latent_agent.evaluation.reward_figures import halves
from latent_agent.nights.watch import Halt
from latent_agent.settings import settings_for

pytestmark = pytest.mark.timeout(300)

SMALL = ("--questions", "10", "--samples", "4", "--max-tokens", "60", "--quiet")
COSTS = Costs(questions=5, seconds=1.0, tokens=10.0, ratios={1: (1, 1), 3: (1.5, 2), 5: (2, 3)})
REWARDS = {"agreement": AgreementReward(), "scale": ScaleReward()}


def run(*words: object) -> Result:
    return CliRunner().invoke(app, ["calibrate", *map(str, words)])


def said(*words: object) -> str:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def always(_question: str, _truth: str, _answer: str) -> bool:
    return True


UNNAMED = ExactMatch({})


def never(_question: str, _truth: str, _answer: str) -> bool:
    return False


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calibration")


def test_the_bundled_model_is_calibrated_and_a_second_run_goes_on(folder: Path) -> None:
    first = run(*SMALL, "--out", folder, "--budget", "4x", "--json")
    assert first.exit_code == 0, first.output
    found = json.loads(first.stdout)
    assert (found["sampled"], found["scored"], found["answers"]) == (10, 10, 50)
    assert {"agreement", "certainty", "equations", "scale", "p-true"} < found["rewards"].keys()
    assert found["rewards"]["agreement"]["tokens"] == 0
    assert found["rewards"]["scale"]["tokens"] > 0
    assert found["costs"]["ratios"]["5"][1] > found["costs"]["ratios"]["1"][1] == 1
    assert found["searches"]["questions"] == sum(
        not json.loads(line)["answers"][0]["right"]
        for line in (folder / "pool.jsonl").read_text().splitlines()[1:]
    )
    # Searches at another threshold are others.
    assert f"above {found['proof']['threshold']!r}" in (folder / "searches.jsonl").read_text()
    kept = {file.name: file.read_bytes() for file in folder.glob("*.jsonl")}
    again = json.loads(run(*SMALL, "--out", folder, "--budget", "4x", "--json").stdout)
    assert {file.name: file.read_bytes() for file in folder.glob("*.jsonl")} == kept
    assert again == found


def test_another_setting_needs_another_folder(folder: Path) -> None:
    run(*SMALL, "--out", folder, "--budget", "4x")
    result = run(*SMALL, "--out", folder, "--max-tokens", 50)
    assert isinstance(result.exception, EvaluationError)
    assert "must keep to the max_tokens" in str(result.exception)


def test_the_written_checks_come_only_when_they_are_asked_for(tmp_path: Path) -> None:
    words = (*SMALL, "--questions", 10, "--samples", 2, "--out", tmp_path, "--json")
    assert "self" not in json.loads(run(*words).stdout)["rewards"]
    pool = (tmp_path / "pool.jsonl").read_bytes()
    assert "self" in json.loads(run(*words, "--written").stdout)["rewards"]
    assert (tmp_path / "pool.jsonl").read_bytes() == pool


def test_a_file_of_two_questions_is_refused(tmp_path: Path) -> None:
    data = tmp_path / "two.jsonl"
    rows = [{"question": f"What is {one} + 1?", "answer": str(one + 1)} for one in (1, 2)]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = run("--data", data, "--out", tmp_path / "c")
    assert isinstance(result.exception, EvaluationError)
    assert "10 questions or more, got 2 of" in str(result.exception)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize(
    ("check", "says"), [("always", "are right, so there is"), ("never", "are wrong, so no reward")]
)
def test_all_right_or_all_wrong_recommends_and_keeps_nothing(
    check: str, says: str, tmp_path: Path
) -> None:
    output = said(*SMALL, "--check", f"{__name__}:{check}", "--out", tmp_path, "--save")
    assert "Nothing is recommended" in output
    assert says in output
    assert "Nothing was saved" in output
    assert list(saved()) == []


def test_an_answer_that_is_longer_than_the_budget_counts_as_wrong_and_is_told(
    tmp_path: Path,
) -> None:
    output = said("--questions", 10, "--samples", 2, "--max-tokens", 2, "--out", tmp_path)
    assert "30 longer than --max-tokens, which count as wrong" in output
    assert "one of the answers in 0%" in output


@pytest.mark.parametrize(("most", "seconds", "searches"), [(60, 1e-6, False), (2, 60.0, True)])
def test_a_search_accepts_nothing_that_a_limit_cut_off(
    most: int, seconds: float, searches: bool
) -> None:
    """Cut off by the clock it is not right; cut off by its length it is searched on."""
    request = CalibrationRequest(questions=10, max_tokens=most, check=f"{__name__}:always")
    items = request.items()
    bench = request.bench(items, Halt(threading.Event()))
    found = latentseek(bench, items[0], seconds, by_truth=True)
    assert found is not None
    assert (found.right, found.rounds > 0) == (False, searches)


def test_a_reward_that_cannot_be_kept_is_refused_before_all_work(tmp_path: Path) -> None:
    words = (*SMALL, "--reward", f"{__name__}:UNNAMED", "--out", tmp_path / "c")
    assert isinstance(run(*words, "--save").exception, RewardError)
    assert not (tmp_path / "c").exists()


def test_what_cannot_be_kept_is_shown_all_the_same(folder: Path) -> None:
    recipes().parent.mkdir(parents=True, exist_ok=True)
    recipes().write_text("in its place")
    result = run(*SMALL, "--out", folder, "--budget", "4x", "--save")
    assert isinstance(result.exception, RecipeError)
    assert "50 answers to 10 of 10 questions" in result.output
    assert json.loads((folder / "calibration.json").read_text())["saved"] is None


def test_minutes_that_are_over_end_it_cleanly_and_it_goes_on_later(tmp_path: Path) -> None:
    output = said(*SMALL, "--minutes", 0.00001, "--out", tmp_path)
    assert "0 of 10 questions were answered and scored" in output
    assert "1e-05 minutes were too short for all of it" in output
    assert "10 of 10 questions" in said(*SMALL, "--out", tmp_path)


@pytest.mark.parametrize("budget", ["x", "-3x", "3 hours", "1x", "nan"])
def test_what_is_no_budget_is_refused(budget: str, tmp_path: Path) -> None:
    result = run(*SMALL, "--budget", budget, "--out", tmp_path)
    assert isinstance(result.exception, SettingError)
    assert "3x" in str(result.exception)


def test_a_budget_is_times_of_a_plain_answer() -> None:
    assert [times(text) for text in ("3x", "2.5", " .5 x")] == [3, 2.5, 0.5]
    with pytest.raises(SettingError, match="minutes"):
        CalibrationRequest(minutes=0)


def test_a_built_in_reward_is_no_further_one(tmp_path: Path) -> None:
    result = run(*SMALL, "--reward", "scale", "--out", tmp_path)
    assert isinstance(result.exception, SettingError)
    assert "--written" in str(result.exception)


def candidate(picks: Sequence[bool], seconds: float = 2.0) -> JudgedRound:
    return JudgedRound(reward="scale", width=5, picks=picks, seconds=seconds, tokens=seconds)


def test_a_gain_is_shown_and_of_equal_candidates_the_cheapest_is_taken() -> None:
    plain = [number % 2 == 0 for number in range(30)]
    dear, cheap = candidate([True] * 30, 3.0), candidate([True] * 30, 1.5)
    choice = choose([dear, cheap, candidate(plain)], plain)
    assert choice.shown
    assert choice.best is cheap
    assert choice.gain.difference.mean == 0.5


def test_what_is_no_better_than_the_plain_answer_is_not_chosen() -> None:
    plain = [number % 2 == 0 for number in range(30)]
    choice = choose([candidate(plain), candidate([False] * 30)], plain)
    assert choice.best is None
    assert not choice.shown
    assert choose([], plain).gain.difference.mean == 0


def test_the_luckiest_of_many_is_hardly_ever_shown() -> None:
    """The best of thirty coins beats the plain answer on the questions that it was chosen on."""
    coin, lucky, wrongly = random.Random(1), 0, 0
    for _ in range(40):
        plain = [coin.random() < 0.5 for _ in range(30)]
        coins = [candidate([coin.random() < 0.5 for _ in range(30)]) for _ in range(30)]
        choice = choose(coins, plain)
        lucky += choice.best is not None and sum(choice.best.picks) > sum(plain) + 3
        wrongly += choice.shown
    assert lucky > 20
    assert wrongly <= 3


def asked(number: int, *rights: bool) -> PooledQuestion:
    answers = [
        PooledAnswer(text=str(right), final=str(right), right=right, whole=True, tokens=3,
               logprobs=(-0.1,))
        for right in rights
    ]  # fmt: skip
    return PooledQuestion(
        key=str(number), question="?", truth="True", family="", choices=(), answers=answers,
        tokens=9,
    )  # fmt: skip


def evidence(questions: Sequence[PooledQuestion], **given: Any) -> Evidence:
    """What is found where a scale knows the truth, and agreement says nothing."""
    rows = [
        {
            "agreement": Scored(scores={"5": [-0.5] * 5}, tokens=0, seconds=0.0),
            "scale": Scored(
                scores={"5": [-0.1 if one.right else -0.9 for one in question.answers]},
                tokens=10, seconds=0.1,
            ),
        }
        for question in questions
    ]  # fmt: skip
    whole = Evidence(
        request=CalibrationRequest(samples=4, budget=4),
        pool={"model": "small"},
        wanted=len(questions),
        sampled=questions,
        compared=compared(questions, rows, [*REWARDS]),
        rewards=REWARDS,
        costs=COSTS,
        solved=None,
        proof=None,
        late=False,
    )
    return replace(whole, **given)


MIXED = [asked(one, one % 2 == 0, False, True, False, True) for one in range(20)]


def test_a_round_of_samples_is_recommended_with_its_reward_and_width() -> None:
    found = evidence(MIXED).recommended()
    assert found is not None
    assert (found.search, found.reward) == ("samples", "scale")
    assert found.settings["drafts"] == 3  # as right as five, and cheaper
    assert found.seconds == pytest.approx(1.5 + 3 * 0.1 / 5)
    assert found.gain.difference.low > 0
    settings_for(**found.settings)
    assert text(evidence(MIXED)).startswith("Recommended: a round of 3 answers, the best taken by")


def test_what_takes_longer_than_the_budget_is_not_recommended() -> None:
    slow = evidence(MIXED, request=CalibrationRequest(samples=4, budget=1.2))
    found = slow.recommended()
    assert found is not None
    assert found.search == "plain"
    assert "no round of answers and its judging takes so little" in text(slow)


def test_few_questions_show_nothing() -> None:
    few = [asked(one, one > 1, False, True, False, True) for one in range(10)]
    found = evidence(few).recommended()
    assert found is not None
    assert found.search == "plain"
    assert dict(found.settings) == {"max_iterations": 0}
    assert "Not shown" in text(evidence(few))


def searched(questions: Sequence[PooledQuestion], right: bool) -> list[Searched]:
    return [
        Searched(key=one.key, right=right, rounds=2, seconds=3.0, tokens=40) for one in questions
    ]


def test_latentseek_is_recommended_where_a_reward_shows_it_on_other_questions() -> None:
    spoiled = [asked(one, one % 2 == 0, False, False, False, False) for one in range(40)]
    wrong = [one for one in spoiled if not one.answers[0].right]
    rights = {one.key: [answer.right for answer in one.answers] for one in wrong}
    by_truth = solved(searched(wrong, True), rights, 5, COSTS)
    assert by_truth is not None
    assert by_truth.latentseek.mean == 1
    assert by_truth.samples.mean == 0
    assert shown(by_truth.difference)
    whole = evidence(spoiled, solved=by_truth)
    judge = judges(REWARDS, whole.compared)
    assert judge is not None
    assert judge.reward == "scale"
    assert set(judge.unseen) == set(halves(40)[1])
    unseen = [spoiled[place] for place in judge.unseen]
    first, *rest = searched(unseen, True)
    proof = proof_of(judge, [replace(first, rounds=7), *rest], unseen, COSTS)
    found = replace(whole, proof=proof).recommended()
    assert found is not None
    assert (found.search, found.reward) == ("latentseek", "scale")
    assert found.settings["max_iterations"] == 7  # of the longest search, not of the mean
    assert -0.9 < found.settings["threshold"] < -0.1
    settings_for(**found.settings)
    unproved = replace(whole, proof=None).recommended()
    assert unproved is not None
    assert unproved.search == "plain"
    assert "no time, to try it without the truth" in text(whole)


def test_a_proof_without_a_gain_recommends_nothing() -> None:
    judge = BestJudge(reward="scale", threshold=-0.5, unseen=range(20))
    proof = proof_of(judge, searched(MIXED, False), MIXED, COSTS)
    assert isinstance(proof, Proof)
    found = evidence(MIXED, proof=proof).recommended()
    assert found is not None
    assert found.search == "samples"
    assert proof_of(judge, [], MIXED, COSTS) is None


def test_a_relative_reward_is_shown_few_answers_as_a_call_would_show_them() -> None:
    rounds = evidence(MIXED).candidates()
    assert {one.width for one in rounds if one.reward == "agreement"} == {5}
    assert {one.width for one in rounds if one.reward == "scale"} == {3, 5}


def test_a_reward_that_fails_for_all_answers_is_left_out_and_says_why() -> None:
    rows = [
        {"scale": Scored(scores={"5": [-1.0] * 5}, tokens=0, seconds=0, failures=5, error="no")}
        for _ in MIXED
    ]
    found = compared(MIXED, rows, ["scale"])
    assert found.figures == {}
    assert found.failed == {"scale": "no"}


def test_figures_are_plain_values() -> None:
    found = figures(evidence(MIXED))
    assert json.loads(json.dumps(found))["recommended"]["search"] == "samples"
