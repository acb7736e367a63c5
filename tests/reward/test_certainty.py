"""Certainty, and what keeps it from being the only objective."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_agent import (
    AgreementReward,
    CertaintyReward,
    ChatLatentSeek,
    FormatReward,
    Lexicographic,
    WeightedSum,
)
from latent_agent.errors import RewardError, SettingError
from latent_agent.reward import Case, as_reward
from latent_agent.reward.certainty import Part, worst_window
from latent_agent.reward.rebuild import reward_from_id


@given(st.lists(st.floats(-9, 0), min_size=1, max_size=40), st.integers(1, 20))
def test_the_worst_window_is_that_of_a_plain_search(values: list[float], window: int) -> None:
    width = min(window, len(values))
    means = [sum(values[at : at + width]) / width for at in range(len(values) - width + 1)]
    assert worst_window(values, window) == pytest.approx(min(means), abs=1e-9)


def test_parts() -> None:
    case = Case(question="q", answer="a", logprobs=(-1.0, -3.0, -0.5, -0.1))
    means: dict[Part, float] = {"whole": -1.15, "tail": -0.3, "worst": -2.0}
    for part, mean in means.items():
        value = CertaintyReward(part, window=2).score(case).value
        assert value == pytest.approx(math.exp(mean) - 1)


def test_without_probabilities_it_says_so() -> None:
    with pytest.raises(RewardError, match="log-probabilities"):
        CertaintyReward().score(Case(question="q", answer="a"))


@pytest.mark.parametrize("arguments", [{"part": "best"}, {"window": 0}])
def test_what_makes_no_sense_is_refused(arguments: dict) -> None:
    with pytest.raises(SettingError):
        CertaintyReward(**arguments)


@pytest.mark.parametrize(
    "reward",
    [
        CertaintyReward(),
        WeightedSum((CertaintyReward(), 1.0), (CertaintyReward("tail"), 1.0)),
        Lexicographic(CertaintyReward(), FormatReward("x")),
    ],
)
def test_it_is_never_the_objective(reward) -> None:
    with pytest.raises(RewardError, match="must not be the only reward"):
        ChatLatentSeek(model="bundled", reward=reward)


def test_beside_another_it_breaks_ties() -> None:
    reward = as_reward(Lexicographic(FormatReward("24"), CertaintyReward("whole")))
    cases = [
        Case(question="q", answer="24", logprobs=(-2.0,)),
        Case(question="q", answer="24!", logprobs=(-1.0,)),
        Case(question="q", answer="25", logprobs=(0.0,)),
    ]
    values = [score.value for score in reward.score_round(cases)]
    assert values[1] > values[0] > values[2]
    assert min(values) >= -1


def test_lexicographic_orders_as_tuples_do() -> None:
    class Fixed(FormatReward):
        def score(self, case: Case):
            from latent_agent.reward import Score

            return Score(value=-int(case.answer[int(self._pattern.pattern)]) / 8)

    cases = [Case(question="q", answer=f"{a}{b}{c}") for a in "018" for b in "018" for c in "018"]
    reward = Lexicographic(Fixed("0"), Fixed("1"), Fixed("2"))
    scored = reward.score_round(cases)
    ranked = sorted(range(len(cases)), key=lambda place: -scored[place].value)
    assert [cases[place].answer for place in ranked] == [case.answer for case in cases]
    assert len({score.value for score in scored}) == len(cases)
    assert scored[0].value == 0
    assert scored[-1].value == pytest.approx(-1)


def test_a_night_builds_them_again_from_their_ids() -> None:
    for reward in (
        CertaintyReward("tail", window=8),
        Lexicographic(AgreementReward(), CertaintyReward()),
    ):
        assert reward_from_id(reward.id).id == reward.id


def test_a_call_knows_how_likely_its_tokens_were() -> None:
    chat = ChatLatentSeek(
        model="bundled", dtype="float32", memory=None, max_tokens=60, max_iterations=1,
        reward=Lexicographic(FormatReward("answer is"), CertaintyReward("whole")),
    )  # fmt: skip
    ours = chat.invoke("Each day Eva counts 6 birds. How many birds is that after 7 days?")
    found = ours.response_metadata["latent_agent"]
    assert found["error"] is None
    assert 0 < found["checks"]["1.whole"] <= 1
