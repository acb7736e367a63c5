"""Rewards and anchors that a night is given, and the times at which nights run."""

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from apscheduler.triggers.base import BaseTrigger

from latent_agent.call.agent import LatentAgent
from latent_agent.errors import (
    RewardError,
    SettingError,
)
from latent_agent.model.registry import open_model
from latent_agent.nights.cron import cron_trigger
from latent_agent.nights.regression_set import Anchor, read_anchors
from latent_agent.nights.scheduler import ConsolidationScheduler, Nights
from latent_agent.reward import (
    AgreementReward,
    CallableReward,
    CertaintyReward,
    EquationReward,
    ExactMatch,
    FormatReward,
    Lexicographic,
    ScaleReward,
    SelfReward,
    WeightedSum,
)
from latent_agent.reward.rebuild import reward_from_id
from latent_agent.reward.tool_calls import ToolTurnReward
from latent_agent.settings import settings_for
from latent_memory import LatentMemory
from tests.support.night_world import (
    day,
    job,
    right,
)


class _Missed(BaseTrigger):
    """Each hour, and five times are gone by at the first look: the clock jumped ahead."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> Any:
        if previous_fire_time is None:
            return now - timedelta(hours=4)
        return previous_fire_time + timedelta(hours=1)


def test_a_clock_that_jumped_ahead_brings_one_night_not_all_that_were_missed() -> None:
    runs: list[datetime] = []
    came = threading.Event()

    def run() -> None:
        runs.append(datetime.now(UTC))
        came.set()

    nights = Nights(run, _Missed())
    nights.start()
    assert came.wait(30)
    nights.stop()
    assert len(runs) == 1


@pytest.mark.parametrize(
    "reward",
    [
        SelfReward("checks", strict=True),
        SelfReward("grades", weights={"correct": 2.0}),
        FormatReward("x+"),
        WeightedSum((SelfReward(), 2.0), (FormatReward("b"), 1.0)),
        CallableReward(right),
    ],
    ids=lambda reward: type(reward).__name__,
)
def test_a_reward_is_built_again_from_its_id(reward) -> None:
    assert reward_from_id(reward.id).id == reward.id


@pytest.mark.parametrize(
    "reward",
    [
        AgreementReward(threshold=-0.55),
        ScaleReward(threshold=-0.4),
        WeightedSum(
            (EquationReward(threshold=-0.3), 2.0), (FormatReward("b"), 1.0), threshold=-0.1
        ),
        Lexicographic(AgreementReward(threshold=-0.5), CertaintyReward()),
        Lexicographic(AgreementReward(), CertaintyReward(), threshold=-0.6),
        ToolTurnReward(EquationReward(threshold=-0.3)),
    ],
    ids=lambda reward: type(reward).__name__,
)
def test_it_keeps_its_threshold(reward) -> None:
    again = reward_from_id(reward.id)
    assert reward.threshold is not None
    assert again.threshold == reward.threshold
    agents = [LatentAgent(open_model("bundled"), settings_for(), one) for one in (again, reward)]
    assert {one.settings.threshold for one in agents} == {reward.threshold}


@pytest.mark.parametrize(
    "name",
    [ExactMatch("1").id, CallableReward(lambda q, a: 0.0).id, "SelfReward {", "os:getcwd",
     'EquationReward {"threshold": "high", "without": -0.5}',
     'EquationReward {"threshold": 1, "without": -0.5}', "nowhere:judge", "SelfReward {}",
     "json:", 'Foo {"a": 1}', ""],
)  # fmt: skip
def test_a_reward_that_cannot_be_built_again_is_said(name: str) -> None:
    with pytest.raises(RewardError, match=r"--reward module:attribute"):
        reward_from_id(name)


def test_anchors_are_read_and_bad_lines_named(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text('{"question": "1 + 1?", "answer": 2}\n\n')
    assert read_anchors(path) == [Anchor(question="1 + 1?", answer="2")]
    for bad in ("no json", '{"question": "q"}', "[]"):
        path.write_text('{"question": "q", "answer": "a"}\n' + bad)
        with pytest.raises(SettingError, match="in line 2"):
            read_anchors(path)
    with pytest.raises(SettingError, match="must be in a text file"):
        read_anchors(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 3 * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 3 32 * *", "day of month"),
        ("0 3 * foo *", "month"),
        ("0 3 * * 8", "day of week"),
        ("0 3 * * MON#1", "day of week"),  # what other crons know must not be half read
        ("0 3 * * 1#1", "day of week"),
        ("0 3 * * 5L", "day of week"),
        ("0 3 * * mon5", "day of week"),
        ("0 3 * * mon-", "day of week"),
        ("0 3 * * TUE!", "day of week"),
        ("0 3 * * monday", "day of week"),
        ("0 3 * * ?", "day of week"),
        ("0 3 * * \uff15", "day of week"),
        ("0 3 * jan#2 *", "month"),
        ("0 3 * jan5 *", "month"),
        ("0 3 L * *", "day of month"),
        ("0 3 15W * *", "day of month"),
        ("0 3 lastfoo * *", "day of month"),
        ("0 3 ? * 1", "day of month"),
        ("H 3 * * *", "minute"),
        ("*/0 3 * * *", "minute"),
        ("0 3 * * */0", "day of week"),
        ("0 3 * *", "five fields"),
        ("", "five fields"),
    ],
)
def test_a_wrong_schedule_is_refused_by_field(expression: str, field: str) -> None:
    with pytest.raises(SettingError, match=field):
        cron_trigger(expression)


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("0 3 * * *", ["2026-01-05 03:00", "2026-01-06 03:00"]),
        ("0 3 * * 0", ["2026-01-11 03:00", "2026-01-18 03:00"]),
        ("0 3 * * 7", ["2026-01-11 03:00", "2026-01-18 03:00"]),
        ("30 4 * * 1-5", ["2026-01-05 04:30", "2026-01-06 04:30"]),
        ("0 0 * * sun", ["2026-01-11 00:00", "2026-01-18 00:00"]),
        ("0 0 * * MON-FRI/2", ["2026-01-07 00:00", "2026-01-09 00:00", "2026-01-12 00:00"]),
        ("0 0 * * 1/2", ["2026-01-07 00:00", "2026-01-09 00:00", "2026-01-12 00:00"]),
        ("0 0 * * fri-sun", ["2026-01-09 00:00", "2026-01-10 00:00", "2026-01-11 00:00"]),
        ("0 0 * * sun-sun", ["2026-01-11 00:00", "2026-01-18 00:00"]),
        ("0 0 * * sun-mon", ["2026-01-11 00:00", "2026-01-12 00:00"]),
        ("0 0 1 jan-apr/3 *", ["2026-04-01 00:00", "2027-01-01 00:00"]),
        ("0 0 1 Mar,may *", ["2026-03-01 00:00", "2026-05-01 00:00"]),
        ("0 3 7 * 0", ["2026-01-07 03:00", "2026-01-11 03:00"]),
    ],
)
def test_schedules_mean_what_crontab_means(expression: str, times: list[str]) -> None:
    trigger, found = cron_trigger(expression), []
    moment = datetime(2026, 1, 5, 0, 0, 1, tzinfo=UTC)  # a Monday
    for _ in times:
        moment = trigger.get_next_fire_time(None, moment)
        found.append(f"{moment:%Y-%m-%d %H:%M}")
        moment += timedelta(seconds=1)
    assert found == times


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set TZ as it is before a process starts."""

    def set_to(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        monkeypatch.setattr("tzlocal.unix._cache_tz", None)

    return set_to


@pytest.mark.parametrize(
    "name",
    ["CET-1CEST,M3.5.0,M10.5.0/3", "EST5", "UTC0", "Nowhere/At_All", "../../etc/passwd",
     "/etc/hosts", "Europe"],
)  # fmt: skip
def test_a_time_zone_that_has_no_name_is_refused_for_a_schedule(
    zone: Callable[[str], None], name: str
) -> None:
    zone(name)
    with pytest.raises(SettingError, match=rf"time zone .*{re.escape(name)}.*; .*TZ=Europe/Paris"):
        cron_trigger("0 3 * * *")


def test_a_schedule_is_in_the_named_time_zone(zone: Callable[[str], None]) -> None:
    zone("Asia/Tokyo")
    moment = datetime(2026, 1, 5, tzinfo=UTC)
    fires = cron_trigger("0 3 * * *").get_next_fire_time(None, moment)
    assert fires == datetime(2026, 1, 5, 18, tzinfo=UTC)


def test_a_scheduler_of_calls_needs_no_time_zone(
    zone: Callable[[str], None], memory: LatentMemory
) -> None:
    shelf = day(memory, 1)
    zone("CET-1CEST,M3.5.0,M10.5.0/3")
    with ConsolidationScheduler(job(memory, shelf), every=10_000):
        pass
