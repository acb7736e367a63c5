"""The splits of the teaching world: what they draw stays, and rewordings keep the facts."""

import re
from hashlib import sha256
from random import Random

import pytest

from latent_agent.teaching import questions
from latent_agent.teaching.corpus import draw_question
from latent_agent.teaching.families import PLANTED
from latent_agent.teaching.rewording import reworded
from latent_agent.teaching.world import split_of

_TRAINING = [draw_question(Random(seed), "train") for seed in range(3000)]


@pytest.mark.parametrize(
    ("split", "count", "digest"),
    [
        ("train", 150, "437217b560ee2190"),
        ("validation", 150, "f39d6d6e8f7d92d7"),
        ("test", 406, "02bf818d90a4b72a"),
        ("unseen", 150, "ff4ff0d750e21721"),
    ],
)
def test_what_a_split_draws_stays(split: str, count: int, digest: str) -> None:
    texts = "\n".join(question.text for question in questions(split, count))
    assert sha256(texts.encode()).hexdigest().startswith(digest)


def _frame(text: str) -> str:
    """What is left of a question without names, numbers, and what it is about."""
    return re.sub(r"\b[A-Z][a-z]{2,}\b|\d+", "_", text)


def test_rewordings_are_test_questions_in_no_wording_of_training() -> None:
    known = {_frame(question.text) for question in _TRAINING}
    asked = questions("reworded", 200)
    assert {question.family for question in asked} == {f"reworded {name}" for name in PLANTED}
    assert {split_of(question.key) for question in asked} == {"test"}
    assert not known & {_frame(question.text) for question in asked}
    assert not any(question.planted for question in asked)


def test_a_rewording_keeps_names_numbers_and_truth() -> None:
    planted = [question for question in _TRAINING if question.planted]
    for number, question in enumerate(planted):
        told = reworded(question, Random(number))
        assert told.truth == question.truth
        assert sorted(re.findall(r"\d+", told.text)) == sorted(re.findall(r"\d+", question.text))
        names = set(question.key[1:]) & set(question.text.replace(".", "").split())
        assert all(name in told.text for name in names if name.istitle())


def test_the_same_seed_draws_the_same_rewordings() -> None:
    assert questions("reworded", 40, 1) == questions("reworded", 40, 1)
    assert questions("reworded", 40, 1) != questions("reworded", 40, 2)


def test_other_families_cannot_be_reworded() -> None:
    chain = next(question for question in _TRAINING if question.family == "chain")
    with pytest.raises(ValueError, match=r"only questions of planted families.*choose those"):
        reworded(chain, Random(0))


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match=r"one of train, .* reworded, got 'exam'"):
        questions("exam")
