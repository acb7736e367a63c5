"""``python -m dev.bench profile``: every stage is seen, and no time is lost or made up."""

import json
import sys
import time

import pytest
from typer.testing import CliRunner

from dev.bench.__main__ import app
from dev.bench.sampled import ORDER, REST, STAGES, sampled, shares, stage_of
from latent_agent.errors import SettingError


def run(*arguments):
    result = CliRunner().invoke(app, ["profile", *arguments])
    if result.exception:
        raise result.exception
    return result.stdout


def test_each_stage_is_listed_once_in_the_order_of_a_call():
    assert {stage for stage, _ in STAGES} | {REST} == set(ORDER)
    assert len(ORDER) == len(set(ORDER))
    assert stage_of(sys._getframe()) == REST


def test_the_processors_time_is_booked_to_the_watched_thread():
    spent = {}
    began = time.process_time()
    with sampled(spent):
        while time.process_time() - began < 0.3:
            sum(range(1000))
    assert set(spent) == {REST}
    assert 0.2 < spent[REST] <= time.process_time() - began
    (rest,) = [stage for stage in shares(spent, 2) if stage["cpu_seconds"]]
    assert rest == {"stage": REST, "cpu_seconds": spent[REST] / 2, "share": 1.0}


@pytest.mark.timeout(600)
def test_a_forced_call_passes_through_its_stages(tmp_path):
    picture = tmp_path / "profile.png"
    small = ["--shape", "tiny", "--answer-tokens", "40", "--iterations", "3", "--repeats", "1"]
    found = json.loads(run(*small, "--picture", str(picture), "--json"))
    assert found["steps"] == 3
    stages = {stage["stage"]: stage["share"] for stage in found["stages"]}
    assert sum(stages.values()) == pytest.approx(1)
    for stage in ("draft", "tail after it", "judge: prompts", "judge: verdicts"):
        assert stages[stage] > 0
    assert stages[REST] < 0.5
    assert picture.stat().st_size > 10_000


@pytest.mark.timeout(600)
def test_the_table_fits_a_narrow_terminal():
    printed = run("--questions", "2", "--repeats", "1")
    assert all(stage in printed for stage in ORDER)
    assert max(map(len, printed.splitlines())) <= 80


def test_a_shape_and_a_model_are_one_too_many():
    with pytest.raises(SettingError, match="give --shape or --model"):
        run("--shape", "tiny", "--model", "bundled")
