"""Equations: the parser against Python's own arithmetic, texts as models write them, attacks."""

import contextlib
import time
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latent_agent import EquationReward
from latent_agent.errors import SettingError
from latent_agent.reward import Case
from latent_agent.reward.arithmetic import NoArithmeticError, value_of
from latent_agent.reward.equations import equations
from latent_agent.reward.rebuild import reward_from_id

NUMBERS = st.one_of(
    st.integers(0, 999).map(str), st.decimals(0, 99, places=2).map(lambda one: f"{one:.2f}")
)
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("-({})".format),
        st.tuples(inner.map("({})".format), st.integers(0, 4)).map(
            lambda one: f"{one[0]}^{one[1]}"
        ),
    ),
    max_leaves=8,
)


def by_python(text: str) -> Fraction:
    """The plain oracle: Python's own reading, every number a fraction."""
    import re

    wrapped = re.sub(r"\d+(?:\.\d+)?", r'Fraction("\g<0>")', text)
    powers = re.sub(r'\^Fraction\("(\d+)"\)', r"**\1", wrapped)
    return eval(powers, {"Fraction": Fraction})


@given(EXPRESSIONS)
def test_values_are_those_of_pythons_arithmetic(text: str) -> None:
    try:
        expected = by_python(text)
    except ZeroDivisionError:
        with pytest.raises(NoArithmeticError):
            value_of(text)
        return
    if len(text) <= 200:
        assert value_of(text) == expected


@given(st.text(alphabet="0123456789.+-*/^()% x", max_size=60))
def test_any_text_has_a_value_or_is_refused(text: str) -> None:
    with contextlib.suppress(NoArithmeticError):
        assert isinstance(value_of(text), Fraction)


@settings(max_examples=50)
@given(st.text(max_size=200))
def test_any_answer_has_a_score(text: str) -> None:
    assert -1 <= EquationReward().score(Case(question="q", answer=text)).value <= 0


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + 3 * 4", 14), ("-2^2", -4), ("2^3^2", 512), ("2(3 + 4)", 14), ("(1 + 2)(3)", 9),
        ("20%", Fraction(1, 5)), ("7.", 7), (".5", Fraction(1, 2)), ("2^-1", Fraction(1, 2)),
    ],
)  # fmt: skip
def test_values(text: str, value: Fraction) -> None:
    assert value_of(text) == value


@pytest.mark.parametrize("text", ["", "3 1/2", "1.2.3", "(1", "1)", "2 +", "* 3", "1/0", "0^-1"])
def test_what_is_no_arithmetic_is_refused(text: str) -> None:
    with pytest.raises(NoArithmeticError):
        value_of(text)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("He uses it 3*2=<<3*2=6>>6 times", [True]),
        ("He earned $50 x 20 = $1,000, and 5 + 5 = 11.", [True, False]),
        ("\\[ 1 + 4 + 1 = 21 \\]", [False]),
        ("\\frac{3}{4} \\times 8 = \\boxed{6}", [True]),
        ("**2 * (3 + 4) = 14 = 7 * 2**", [True, True]),
        ("10 / 3 = 3.33 and 2 / 3 = 0.66 and 2 / 3 = 0.65", [True, True, False]),
        ("10 / 3 = 3", [False]),
        ("3 / 12 * 100 = 25%, and 20% * 50 = 10", [True, True]),
        ("\\text{Cost} = \\text{price} \\times 2 = 20 \\times 2 = 40 \\text{ dollars}", [True]),
        ("6 \\text{ hours/day} \\times 7 \\text{ days} = 43 \\text{ hours}", [False]),
        ("30 \\text{ dollars} - 5 \\text{ dollars} = 25 \\text{ dollars}", [True]),
        ("3 \\text{ hours} - 150 \\text{ minutes} = 30 \\text{ minutes}", []),
        ("2 \\text{ dozen} + 1 = 25", []),
        ("2x + 3 = 7; x - 3 = 7; 12 = 3y; 5 = 3 + y", []),
        ("half of 6 + 4 = 7, 5 = 2 more than 3", []),
        ("5 apples + 3 apples = 8 apples; 1 week = 7 days; 5:30 = 330 minutes", []),
        ("x == 3, 3 + 4 >= 7, 3 + 4 != 8", []),
        ("9^9^9 = 1", []),
        ("1 1/2 + 1 1/2 = 4; 3/2 = 1 1/2", []),
        ("1\\frac{1}{2} * 2 = 3, and 3 = 2 * 1\\frac{1}{2}", []),
        ("2 * \\frac{1}{2} = 1", [True]),
        ("3 + 2 = 6\n\\frac{10}{2} = 5", [False, True]),
        ("3/2 = 1 ½; 3/2 = 1½; 3/2 = 1 and 1/2; 5/2 = 2 and a half", []),
        ("1 + 1 = 2 and 1/2 + 1/2 = 2", [True, False]),
        ("1,5 * 2 = 3; 3 = 2 * 1,5; 3/2 = 1,5; 2 * 0{,}5 = 1", []),
        ("1.500 + 500 = 2.000, das sind 2,5 weniger; 1 + 1 = 3", [False]),
        ("1,500 * 2 = 3,000 and 1{,}500 * 2 = 3000 and 1.500 * 2 = 3", [True, True, True]),
        ("2 \\text{ hours} / 30 \\text{ minutes} = 4", []),
        ("3 \\text{ hours} \\times 2 = 360 \\text{ minutes}", []),
        ("60 \\text{ km} / 30 \\text{ minutes} = 120 \\text{ km/h}", []),
        ("6 \\text{ hours} + 2 \\text{ hours} = 9 \\text{ hours}", [False]),
        ("", []),
    ],
)
def test_equations_as_models_write_them(answer: str, found: list[bool]) -> None:
    assert [right for _, right in equations(answer)] == found


def test_scores_are_shares_and_an_answer_without_equations_abstains() -> None:
    def score(answer: str, **given) -> float:
        return EquationReward(**given).score(Case(question="q", answer=answer)).value

    assert score("1 + 1 = 2") == 0
    assert score("1 + 1 = 2, 1 + 2 = 4") == -0.5
    assert score("seven") == -0.5
    assert score("seven", without=-0.25) == -0.25
    assert score("1 + 1 = 3") == -1


def test_a_night_builds_it_again_from_its_id() -> None:
    reward = EquationReward(without=-0.25)
    assert reward_from_id(reward.id).id == reward.id


def test_a_score_out_of_range_is_refused() -> None:
    with pytest.raises(SettingError, match="without"):
        EquationReward(without=0.5)


ATTACKS = {
    "powers": "9^9^9^9 = 1 " * 500,
    "a tall power": "2^64^64 = 2^64 ",
    "powers of powers": "((((9^64)^64)^64)^64) = 1 " * 300,
    "long digits": f"{'9' * 20_000} * {'9' * 20_000} = 1",
    "brackets": "(" * 20_000 + "1" + ")" * 20_000 + " = 1",
    "signs": "-" * 20_000 + "1 = 1 + 1",
    "chains": "1+1=" * 5_000,
    "spaces": "1" + " " * 20_000 + "x" + " " * 20_000 + "= 1",
    "fractions": "\\frac{" * 5_000,
    "open text": "\\text{" + "a" * 20_000,
    "long products": "*".join(["9" * 40] * 400) + " = 1 + 1",
    "sums of fractions": " + ".join(f"1/{one}" for one in range(2, 2_000)) + " = 1",
    "bold": "*" * 20_000 + "=" * 20_000,
    "digits and commas": "1,000" * 5_000 + "=1",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_end_soon(name: str) -> None:
    began = time.process_time()
    assert -1 <= EquationReward().score(Case(question="q", answer=ATTACKS[name])).value <= 0
    assert time.process_time() - began < 1.0
