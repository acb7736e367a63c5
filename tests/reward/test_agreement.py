"""Agreement: against a plain count, and in calls."""

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latent_agent import AgreementReward, ChatLatentSeek
from latent_agent.errors import RewardError, SettingError
from latent_agent.reward import Case
from latent_agent.reward.rebuild import reward_from_id


def case(answer: str, question: str = "q", **more) -> Case:
    return Case(question=question, answer=answer, **more)


def said(number: int | None) -> str:
    return "I cannot" if number is None else f"So it is.\nThe answer is {number}."


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(2, 6))
def test_the_share_is_that_of_a_plain_count(numbers: list[int], least: int) -> None:
    cases = [case(f"Step {place}.\nThe answer is {one}.") for place, one in enumerate(numbers)]
    votes = Counter(numbers)
    scores = AgreementReward(least=least).score_round(cases)
    for number, score in zip(numbers, scores, strict=True):
        share = votes[number] / max(len(numbers), least)
        assert score.value == pytest.approx(share - 1)


def test_numbers_in_other_forms_agree() -> None:
    cases = [case(text) for text in ("The answer is 0.5.", "\\boxed{1/2}", "= 0.50", "answer: 2")]
    values = [score.value for score in AgreementReward(least=2).score_round(cases)]
    assert values == pytest.approx([-0.25, -0.25, -0.25, -0.75])


def test_choices_agree_by_letter_and_by_text() -> None:
    question = "Which is it?\nA. red\nB. dark green\nC. blue"
    texts = ("B. dark green", "The answer is (B).", "dark green", "It is \\boxed{C}.")
    cases = [case(text, question) for text in texts]
    values = [score.value for score in AgreementReward(least=2).score_round(cases)]
    assert values == pytest.approx([-0.25, -0.25, -0.25, -0.75])


def test_what_states_nothing_or_was_cut_off_abstains() -> None:
    cases = [case(""), case(""), case("The answer is 3.", complete=False), case("The answer is 3.")]
    values = [score.value for score in AgreementReward(least=2).score_round(cases)]
    assert values == pytest.approx([-1, -1, -1, -0.75])


def test_a_lone_answer_is_never_accepted_by_default() -> None:
    alone = AgreementReward().score(case("The answer is 3."))
    assert alone.value == pytest.approx(1 / 5 - 1)
    assert not alone.passes(-0.2)


def test_earlier_answers_count_and_get_no_score() -> None:
    earlier = tuple(case(said(one)) for one in (3, 3, 4))
    scores = AgreementReward().score_round([case(said(3), earlier=earlier)])
    assert [score.value for score in scores] == pytest.approx([3 / 5 - 1])


def test_votes_by_probability_are_perplexity_consistency() -> None:
    """RPC, arXiv 2502.00511, section 3: the sum of p over different answers that end alike."""
    logprobs = {"a": (-1.0, -2.0), "b": (-0.5,), "c": (-4.0, -1.0, -1.0)}
    ends = {"a": 3, "b": 4, "c": 3}
    names = ["a", "b", "c", "a"]  # the last one is said twice
    cases = [case(f"{name}. {said(ends[name])}", logprobs=logprobs[name]) for name in names]
    p = {name: math.exp(sum(logprobs[name])) for name in ends}
    of_three = (p["a"] + p["c"]) / sum(p.values())
    scores = AgreementReward("probability", least=2).score_round(cases)
    assert [score.value + 1 for score in scores] == pytest.approx(
        [of_three, 1 - of_three, of_three, of_three]
    )


def test_votes_by_perplexity_weigh_each_answer_by_its_mean() -> None:
    cases = [case(said(3), logprobs=(-2.0, -4.0)), case(said(4), logprobs=(-1.0,))]
    scores = AgreementReward("perplexity", least=2).score_round(cases)
    share = math.exp(-3) / (math.exp(-3) + math.exp(-1))
    assert [score.value + 1 for score in scores] == pytest.approx([share, 1 - share])


def test_a_thousand_tokens_leave_no_vote_at_zero() -> None:
    cases = [case(said(3), logprobs=(-3.0,) * 1000), case(said(3) + " ", logprobs=(-3.0,) * 1000)]
    scores = AgreementReward("probability", least=2).score_round(cases)
    assert [score.value for score in scores] == [0.0, 0.0]


def test_votes_without_probabilities_are_refused() -> None:
    with pytest.raises(RewardError, match="votes='equal'"):
        AgreementReward("probability").score(case(said(3)))


@pytest.mark.parametrize("arguments", [{"votes": "loud"}, {"least": 1}])
def test_what_makes_no_sense_is_refused(arguments: dict) -> None:
    with pytest.raises(SettingError):
        AgreementReward(**arguments)


@pytest.mark.parametrize("votes", ["equal", "probability", "perplexity"])
def test_a_night_builds_it_again_from_its_id(votes) -> None:
    reward = AgreementReward(votes, least=3)
    assert reward_from_id(reward.id).id == reward.id


QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


@pytest.mark.parametrize("votes", ["equal", "probability", "perplexity"])
def test_a_call_samples_its_first_round_and_ends_where_answers_agree(votes) -> None:
    chat = ChatLatentSeek(
        model="bundled", dtype="float32", memory=None, max_tokens=60, max_iterations=2,
        reward=AgreementReward(votes, threshold=-0.6),
    )  # fmt: skip
    message = chat.invoke(QUESTION)
    ours = message.response_metadata["latent_agent"]
    assert ours["error"] is None
    assert len(ours["rewards"][0]) >= 5
    assert ours["stopped"] == "threshold"
    assert max(ours["rewards"][0]) > -0.6


def test_a_call_with_a_budget_of_tokens_takes_one_after_the_other() -> None:
    chat = ChatLatentSeek(
        model="bundled", dtype="float32", memory=None, max_tokens=60, max_iterations=1,
        max_forwarded_tokens=100_000, reward=AgreementReward(), threshold=-0.35,
    )  # fmt: skip
    ours = chat.invoke(QUESTION).response_metadata["latent_agent"]
    lone, *later = [rewards[0] for rewards in ours["rewards"]]
    assert lone == pytest.approx(-0.8)
    assert len(later) >= 3  # four of five agree at the earliest


@pytest.mark.parametrize(
    ("finals", "unfinished", "threshold", "settled"),
    [
        ([4, 4, 4, 4, 4, 4, 4], 1, -0.2, True),  # 7 of 8 at least
        ([4, 4, 4, 4, 4, 4], 2, -0.2, False),  # the winner, but perhaps with 6 of 8
        ([4, 4, 4, 4, 4, 4], 2, -0.3, True),
        ([4, 4, 4, 5], 1, -0.95, True),
        ([4, 4, 5], 1, -0.95, False),  # a tie is possible: the other may come first
        ([4, 4, 5], 0, -0.95, True),
        ([4, 4], 1, -0.95, True),
        ([4], 7, -0.95, False),
        ([None, None, 4, 4], 1, -0.7, True),  # those that state nothing agree with none
        ([], 8, -0.95, False),
    ],
)
def test_a_round_is_settled_once_its_leader_passes_and_cannot_be_overtaken(
    finals: list[int | None], unfinished: int, threshold: float, settled: bool
) -> None:
    cases = [case(said(one)) if one is not None else case("") for one in finals]
    reward = AgreementReward()
    assert reward.settled(cases, unfinished, threshold) is settled
    if settled:  # whatever the others say
        for word in (4, 5, 6):
            others = [case(said(word)) for _ in range(unfinished)]
            scores = [one.value for one in reward.score_round([*cases, *others])]
            best = scores.index(max(scores))
            assert scores[best] > threshold
            assert finals[best] == 4
    assert not AgreementReward("probability").settled(cases, unfinished, threshold)


def test_answers_scored_before_vote_too() -> None:
    earlier = tuple(case(said(4)) for _ in range(4))
    reward = AgreementReward()
    assert reward.settled([replace(case(said(4)), earlier=earlier)], 1, -0.2)
    assert not reward.settled([replace(case(said(5)), earlier=earlier)], 4, -0.9)
