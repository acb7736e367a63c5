"""Choices and finals: one reading for rewards and for evaluation."""

import pytest

from latent_agent.evaluation.checking import FITTING
from latent_agent.evaluation.items import item_of
from latent_agent.reward.finals import choices_in, final_in

ROW = {"question": "Which?", "choices": ["red", "A dog", "dark green"], "answer": "C"}


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("C. dark green", "C"), ("\\boxed{C}", "C"), ("dark green", "C"),
        ("The answer is (C).", "C"),
        ("A dog is what it is", None), ("I do not know.", None), ("", None),
        ("The answer is D", None),
    ],
)  # fmt: skip
def test_rewards_and_evaluation_read_the_same_choice(answer: str, letter: str | None) -> None:
    item = item_of(ROW, "1")
    assert final_in(item.question, answer) == FITTING.final(item, answer) == letter
    assert FITTING.is_right(item, answer) == (letter == "C")


@pytest.mark.parametrize(
    ("question", "choices"),
    [
        ("Which?\nA. red\nB. blue", ("red", "blue")),
        ("Which?\n(A) red\n(B) blue\n", ("red", "blue")),
        ("A. Smith had a dog. How old is it?", ()),
        ("Which?\nA. red", ()),
        ("Which?\nB. red\nC. blue", ()),
        ("First\nA. x\nB. y\nThen\nA. red\nB. blue", ("red", "blue")),
        ("What is 1 + 1?", ()),
    ],
)
def test_choices_are_read_from_the_question(question: str, choices: tuple[str, ...]) -> None:
    assert choices_in(question) == choices


def test_without_choices_a_number_is_one_vote_in_any_form() -> None:
    finals = {final_in("How many?", text) for text in ("The answer is 0.5.", "so \\boxed{1/2}")}
    assert finals == {"0.5"}
