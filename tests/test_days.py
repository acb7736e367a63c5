"""Days in a row ask no more questions than a split holds."""

import pytest

from latent_agent.cli.days_demo import Days
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
