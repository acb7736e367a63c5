"""A pool of answers: sampled, killed, gone on with, scored, and what the table says of it."""

import json
import math
import random
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dev.pool.__main__ import app
from dev.pool.baselines import baselines
from dev.pool.table import compared, shown
from latent_agent.evaluation.items import load_items
from latent_agent.evaluation.pool_answers import by_turns
from latent_agent.evaluation.pool_file import PooledAnswer, PooledQuestion, PoolFile
from latent_agent.evaluation.reward_figures import area, balanced, best_of, figures, ranked
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def sampled(out: Path, limit: int, *more: object) -> None:
    run(
        "sample", "bundled", "--data", "bundled:unseen", "--out", out, "--samples", 4,
        "--max-tokens", 60, "--rows", 12, "--limit", limit, "--dtype", "float32", "--quiet", *more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pool") / "pool.jsonl"
    sampled(path, 6)
    return path


def test_log_probabilities_are_those_of_the_whole_text_read_at_once(pool: Path) -> None:
    """The oracle: the model reads prompt and answer in one pass, without any cache."""
    model = open_model("bundled")
    engine = model.engine()
    for asked in PoolFile(pool).asked[:2]:
        prompt = encode_chat(model.tokenizer, [Turn("user", asked.question)], (), {})
        for answer in asked.answers:
            ids = model.tokenizer.encode(answer.text, add_special_tokens=False)
            whole = [*prompt, *ids]
            logits = engine.sequence(Budget()).next_logits(
                [whole[: len(prompt) + place] for place in range(len(ids))], "draft"
            )
            logprobs = logits.log_softmax(-1)
            expected = [logprobs[place, token].item() for place, token in enumerate(ids)]
            assert answer.logprobs[: len(ids)] == pytest.approx(expected, abs=2e-3)
            assert len(answer.logprobs) == answer.tokens


def test_the_first_answer_is_greedy_and_the_others_vary(pool: Path) -> None:
    known = PoolFile(pool)
    assert len(known.asked) == 6
    assert {len(one.answers) for one in known.asked} == {4}
    assert any(len({answer.text for answer in one.answers}) > 1 for one in known.asked)
    greedy = [math.fsum(one.answers[0].logprobs) for one in known.asked]
    others = [math.fsum(answer.logprobs) for one in known.asked for answer in one.answers[1:]]
    assert sum(greedy) / len(greedy) >= sum(others) / len(others)


def test_a_pool_that_was_cut_off_goes_on_to_the_same_answers(pool: Path, tmp_path: Path) -> None:
    whole = {row.key: row for row in PoolFile(pool).asked}
    other = tmp_path / "pool.jsonl"
    lines = pool.read_text().splitlines(keepends=True)
    other.write_text("".join(lines[:3]) + lines[3][:100])
    sampled(other, 6)
    again = {row.key: row for row in PoolFile(other).asked}
    assert again.keys() == whole.keys()
    for key, one in again.items():
        assert [answer.text for answer in one.answers] == [
            answer.text for answer in whole[key].answers
        ]


def test_time_that_is_up_begins_nothing(tmp_path: Path) -> None:
    sampled(tmp_path / "pool.jsonl", 6, "--minutes", 0)
    assert PoolFile(tmp_path / "pool.jsonl").asked == []


@pytest.mark.parametrize("other", [("--seed", 1), ("--ending", " Think."), ("--max-tokens", 61)])
def test_another_setting_is_refused(pool: Path, other: tuple[str, object]) -> None:
    with pytest.raises(AssertionError, match="must keep to the"):
        sampled(pool, 6, *other)


def test_what_is_no_pool_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="must be a file of"):
        run("table", tmp_path / "none.jsonl")
    (tmp_path / "other.jsonl").write_text('{"key": "1"}\n')
    with pytest.raises(AssertionError, match="line of its settings"):
        run("table", tmp_path / "other.jsonl")


def test_a_judge_scores_a_pool_and_goes_on(pool: Path, tmp_path: Path) -> None:
    out = tmp_path / "scores.jsonl"
    scored = ("score", pool, "--model", "bundled", "--reward", "scale", "--out", out, "--quiet")
    run(*scored, "--limit", 2)
    run(*scored)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 7
    assert all(len(row["scores"]) == 4 and row["tokens"] > 0 for row in rows[1:])
    with pytest.raises(AssertionError, match="must keep to the name"):
        run("score", pool, "--model", "bundled", "--reward", "p-true", "--out", out, "--quiet")
    told = run("table", pool, "--scores", out, "--families")
    assert "\nscale " in told
    assert max(map(len, told.splitlines())) <= 80
    found = json.loads(run("table", pool, "--scores", out, "--json"))["pools"][0]
    assert found["rewards"]["scale"]["tokens"] > 0


def test_families_take_turns() -> None:
    items = by_turns(load_items("bundled:validation", 21))
    first = [item.family for item in items[:7]]
    assert len(set(first)) == 7
    assert sorted(item.key for item in items) == sorted(
        item.key for item in load_items("bundled:validation", 21)
    )


def asked(*rights: bool, finals: str | None = None) -> PooledQuestion:
    answers = [
        PooledAnswer(
            text=f"The answer is {int(right) if finals is None else finals[place]}.",
            final=str(int(right)) if finals is None else finals[place],
            right=right,
            whole=True,
            tokens=3,
            logprobs=(-1.0, -0.5, -0.1),
        )
        for place, right in enumerate(rights)
    ]
    return PooledQuestion(
        key=repr(rights), question="q", truth="1", family="", choices=(), answers=answers, tokens=9
    )


@pytest.mark.parametrize("right", [True, False])
@pytest.mark.parametrize("count", [1, 2])
def test_all_right_or_all_wrong_is_a_table_all_the_same(right: bool, count: int) -> None:
    pool = [asked(right, right, right) for _ in range(count)]
    plain, by_reward = compared(pool, [])
    assert plain.greedy.mean == plain.voted.mean == plain.any.mean == float(right)
    assert all(math.isnan(one.area) for one in by_reward.values())
    assert all(math.isnan(one.threshold) for one in by_reward.values())
    named = {"model": "m", "dtype": "d", "data": "f", "family": "all"}
    assert "nan" in "\n".join(shown(named, plain, by_reward))


def test_an_answer_that_was_cut_off_is_wrong_and_said_to_be(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    run(
        "sample", "bundled", "--data", "bundled:validation", "--out", path, "--samples", 2,
        "--max-tokens", 4, "--limit", 2, "--quiet",
    )  # fmt: skip
    known = PoolFile(path).asked
    assert not any(answer.right or answer.whole for one in known for answer in one.answers)
    assert baselines(known).cut == 1
    assert "100.0% cut off, so wrong" in run("table", path)


def test_areas_are_those_of_a_plain_count() -> None:
    rng = random.Random(0)
    for _ in range(50):
        scores = [rng.randint(0, 5) / -5 for _ in range(12)]
        rights = [rng.random() < 0.5 for _ in scores]
        right = [score for score, one in zip(scores, rights, strict=True) if one]
        wrong = [score for score, one in zip(scores, rights, strict=True) if not one]
        hits = sum((one > other) + (one == other) / 2 for one in right for other in wrong)
        assert ranked(scores, rights) == (hits, len(right) * len(wrong))
        if right and wrong:
            assert area(scores, rights) == pytest.approx(hits / len(right) / len(wrong))
            found = balanced(scores, rights)
            best = max(
                sum(one > at for one in right) / len(right)
                - sum(one > at for one in wrong) / len(wrong)
                for at in [-1.1, *(score - 0.01 for score in scores), 0.1]
            )
            ours = sum(one > found for one in right) / len(right)
            ours -= sum(one > found for one in wrong) / len(wrong)
            assert ours == pytest.approx(max(best, 0.0)) or best <= 0


def test_a_threshold_is_shown_on_the_questions_that_it_was_not_found_on() -> None:
    rights = [[True, False]] * 10
    scores = [[-0.1, -0.9]] * 10
    found = figures(rights, scores)
    assert found.threshold == pytest.approx(-0.5)
    assert (found.right, found.wrong) == (1, 0)
    assert found.within.mean == found.area == found.best.mean == 1
    assert best_of([-1, -0.5, -0.5]) == 1
