"""Days in a row: what is asked when, no more than a split holds, and how it is told."""

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from latent_agent.cli.days_demo import Days, Pair, apart, days_table
from latent_agent.cli.rows import Row
from latent_agent.teaching import questions


@pytest.mark.parametrize(("days", "each"), [(1, 1), (3, 60), (10, 100)])
def test_what_days_need_is_there_and_enough(days: int, each: int) -> None:
    plan = Days(days=days, each=each)
    asked = questions("test", n=plan.needed)
    left = {family: sum(one.family == family for one in asked) for family in ("story", "compare")}
    left |= {
        family: sum(one.family == family for one in asked) for family in ("groups", "calendar")
    }
    for day in range(days):
        assert sum(plan.mix(day).values()) == each
        for family, count in plan.mix(day).items():
            left[family] -= count
    assert min(left.values()) >= 20  # what is asked afterwards


def test_more_questions_than_there_are_is_an_error_and_no_endless_search() -> None:
    with pytest.raises(ValueError, match=r"more than the split 'test' holds, got 7140.*ask for"):
        questions("test", n=7140)


def test_days_drift_by_quarters_and_each_is_known_before_it_is_the_half() -> None:
    plan = Days(days=10, each=60)
    assert plan.mix(0) == {"story": 45, "compare": 15}
    assert plan.mix(1) == {"story": 15, "compare": 30, "groups": 15}
    assert plan.mix(4) == {"calendar": 15, "story": 30, "compare": 15}


def answered(family: str, steps: int, *, right: bool) -> Row:
    return Row(
        question="?", family=family, planted=True, draft=None, final="1", draft_right=False,
        final_right=right, rewards=[[0.0]], steps=steps, stopped="threshold", source="search",
        forwarded={},
    )  # fmt: skip


def test_known_and_new_families_are_told_apart() -> None:
    pairs: list[Pair] = [
        (answered("story", 4, right=True), answered("story", 0, right=True)),
        (answered("story", 2, right=True), answered("story", 0, right=True)),
        (answered("groups", 6, right=False), answered("groups", 3, right=True)),
    ]
    night = {"verdict": "published", "reason": "it saves steps"}
    first: dict[str, Any] = {
        "families": {"story": 2, "compare": 1},
        **apart(pairs, set()),
        "night": night,
    }
    second: dict[str, Any] = {
        "families": {"story": 2, "groups": 1},
        **apart(pairs, {"story"}),
        "night": night,
    }
    assert (first["known"]["with"]["questions"], first["new"]["with"]["questions"]) == (0, 3)
    assert second["with"]["mean_steps"] == 1
    assert second["known"]["without"]["mean_steps"] == 3
    assert second["new"]["with"] | {"draft_accuracy": 0} == {
        "questions": 1, "draft_accuracy": 0, "final_accuracy": 1, "mean_steps": 3,
    }  # fmt: skip
    told = StringIO()
    table = days_table({"days": [first, second], "afterwards": {"story": first}})
    Console(width=80, file=told).print(table)
    lines = told.getvalue().splitlines()
    known = next(line for line in lines if "known: story" in line)
    assert [part.strip() for part in known.split("│")][2:7] == ["2", "3.00", "0.00", "100%", "100%"]
    assert sum("new: " in line for line in lines) == 2
