"""What is a right answer: truths of many kinds, repeated, cut to pieces, and nearly right."""

import re
import threading

import pytest

from latent_agent.evaluation.checking import CHOICE, checker_named
from latent_agent.evaluation.items import Item
from latent_agent.nights.regression_set import Anchor, right
from latent_agent.reward import Case, ExactMatch
from latent_agent.teaching import is_right as teaching_is_right
from latent_agent.teaching import questions

# Each with answers that are wrong though a parser may read the truth, or a part of it, in them.
TRUTHS = {
    "7": ["8", "-7", "7, 8", "7 to 8", "7:30", "not 7", r"7\pi", "7x", "7xy", "7 million"],
    "-3": ["3", "-4", "x-3"],
    "0": ["1", "0, 1"],
    "1,000": ["1", "1,001", "100", "1000000"],
    "1234567": ["1,234,568"],
    "0.25": ["0.26", "25", "4"],
    ".5": ["5"],
    "1/2": ["2/1", "0.6"],
    "-3/4": ["3/4", "-0.7"],
    "1/3": ["0.33", "1/30", "3"],
    "2 1/2": ["21/2", "2", "1/2", "3 1/2"],
    r"\frac{1}{2}": [r"\frac{2}{1}", "12", "1, 2"],
    r"-\dfrac{9}{7}": [r"\frac{9}{7}", "-9"],
    r"2\frac{1}{2}": [r"\frac{21}{2}", "2", "1"],
    "1.5e8": ["1.5e7", "8"],
    r"1.5 \times 10^{8}": ["1.5", r"1.5 \times 10^{7}"],
    "0.0000001": ["0.0000002"],
    r"3\sqrt{13}": ["3", "13", r"\sqrt{13}", r"3\sqrt{12}", r"13\sqrt{3}"],
    r"\frac{3\sqrt{3}}{4}": ["3", "4", r"\frac{3}{4}", r"\frac{\sqrt{3}}{4}"],
    r"\sqrt[3]{4}": [r"\sqrt{4}", "3", "4"],
    r"\frac{\pi}{2}": [r"\pi", "2", r"\frac{\pi}{3}"],
    r"\left( 3, \frac{\pi}{2} \right)": [r"(\frac{\pi}{2}, 3)", "3"],
    "(2, 3)": ["(3, 2)", "[2, 3]", "2", "3"],
    "[2, 3)": ["[2, 3]", "(2, 3)"],
    r"(-\infty, 3]": [r"(-\infty, 3)", "3", r"\infty"],
    r"(0,9)\cup(9,36)": ["(0,9)", "(0,36)", "9"],
    r"\{1, 2, 3\}": [r"\{1, 2\}", "1", "123"],
    "3, 5": ["3", "5", "3, 6", "35"],
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}": [
        r"\begin{pmatrix} 1 & 2 \\ 4 & 3 \end{pmatrix}", "1", "4",
    ],
    "x = 5": ["5", "= 5", "x = 6", "y = 5"],
    "x = 4, y = 5": ["4", "x = 5, y = 4", "x = 4"],
    "y = 2x + 3": ["y = 3x + 2", "3", "2"],
    "x^2 - 3x + 2": ["x^2 + 3x + 2", "x^2", "2"],
    "6 - 5i": ["6 + 5i", "6", "5"],
    r"1 \le x \le 2": [r"1 \le x", "1", "2", r"1 \le x \le 3"],
    r"x \in [1, 2]": [r"x \in [1, 3]", "1"],
    r"1 \pm \sqrt{19}": [r"1 + \sqrt{19}", "1", "19"],
    "2516_8": ["2516", "8", "2516_7", "25168"],
    r"\log_2 3": ["3", "2", r"\log_3 2"],
    "5!": ["5", "6!"],
    "2^{10}": ["2", "10", "20", "1025"],
    r"0.\overline{3}": ["0.3", "3"],
    r"\emptyset": ["0"],
    r"50\%": ["5%", r"51\%", "0.05"],
    "12.5%": ["12", "5%", "125"],
    r"90^\circ": ["91^\\circ", "9"],
    r"\$32,\!000": ["32", "$3,200"],
    "€20": ["€2"],
    "18 dollars": ["18 euros", "19 dollars", "8"],
    "5 km": ["5 m", "5", "6 km"],
    r"12 \text{ cm}^2": [r"12 \text{ cm}", "2", r"12 \text{ cm}^3"],
    "5 million": ["5", "6 million"],
    "5:30": ["5:45", "5", "30", "1/6", "5:3"],
    "5:45 PM": ["5:45 AM", "5:45", "45"],
    "10 to 20": ["20", "10", "20 to 10"],
    "10-20": ["-10", "10", "20"],
    "2:3": ["2", "3", "2/3"],
    "1 in 6": ["6", "1", "1/6"],
    "3 or 5": ["3", "5"],
    "3 of hearts": ["3", "hearts", "3 of spades"],
    "12 Angry Men": ["12", "12 Angry Women"],
    "7th": ["7", "8th"],
    "Room 5": ["5", "Room 6"],
    "January 5, 2020": ["5", "2020", "January 6, 2020"],
    "01/02/2020": ["02/01/2020", "1/4040", "2020"],
    "2020-01-02": ["2017", "2020", "2020-02-01"],
    "192.168.0.1": ["192.168", "1", "192.168.0.2"],
    "Paris": ["Rome", "Paris, Texas", "Par"],
    "New York": ["New", "York", "New Jersey"],
    "São Paulo": ["Paulo"],
    "Dr. Smith": ["Smith", "Dr. Smythe"],
    "U.S. Army": ["U.S.", "Army"],
    "Alice, Bob": ["Alice", "Bob", "Bob, Alice"],
    "B, A, C": ["A, B, C", "B"],
    "yes": ["no", "yes and no"],
    "True": ["False"],
    "B": ["A", "B or C", "A, B"],
    "(B)": ["(C)", "C"],
    r"\text{(C)}": ["(B)"],
    r"\text{Evelyn}": ["Angela", "Eve"],
    "H_2O": ["2", "HO"],
    "C++": ["C"],
    "x": ["y", "2"],
}  # fmt: skip


def said(text: str) -> list[str]:
    """Return an answer in the ways that models write it."""
    return [
        text,
        rf"So \boxed{{{text}}}",
        f"${text}$",
        f"**{text}**",
        f"The answer is {text}.",
        f"First, 3 + 4 = 7.\nThe answer is **{text}**.",
        f"**Answer:** {text}",
    ]


def is_right(truth: str, answer: str) -> bool:
    return checker_named("auto").is_right(Item(key="1", question="?", truth=truth), answer)


@pytest.mark.parametrize("truth", TRUTHS)
def test_a_truth_repeated_is_right(truth: str) -> None:
    for written in (truth, f"${truth}$", rf"\boxed{{{truth}}}", f" {truth}. "):
        assert [answer for answer in said(truth) if not is_right(written, answer)] == []


@pytest.mark.parametrize(("truth", "wrong"), TRUTHS.items(), ids=list(TRUTHS))
def test_a_piece_of_a_truth_and_what_is_near_it_are_wrong(truth: str, wrong: list[str]) -> None:
    pieces = set(re.findall(r"\d+|\w+", truth)) if not re.fullmatch(r"\W*\w+\W*", truth) else set()
    signed = re.search(r"%|circ|\\\$|€|dollars|\\text\{[A-Z(]|\A\.", truth)  # 90 is 90°
    answers = wrong if signed else [*wrong, *pieces]
    assert [text for one in answers for text in said(one) if is_right(truth, text)] == []


@pytest.mark.parametrize(
    ("truth", "answer"),
    [
        ("18", "She makes 9 * 2 = $18 every day at the farmer's market."),
        ("18", "So $9 and $9 make $18."),
        ("18", "Thus she has 18 apples.\nThat is all."),
        ("18", "The answer is 18 because 3 * 6 = 18."),
        ("18", "The final answer is $\\boxed{18}$. I hope it is correct."),
        ("18", r"\boxed{18 \text{ dollars}}"),
        ("18", "The answer is $18.00."),
        ("57500", "#### 57,500"),
        ("70,000", r"\boxed{70{,}000}"),
        ("1000", "1,000.00"),
        ("8", "Thus $3+5 = 8$."),
        ("4", r"\boxed{x = 4}"),
        ("12", "The answer is\n\n12"),
        ("-4", "The answer is −4."),
        ("1024", r"\boxed{2^{10}}"),
        ("2^{10}", "1024"),
        ("2.5", "2 1/2"),
        ("1/3", "0.333333"),
        ("0.5", "50%"),
        (r"50\%", "50 percent"),
        (r"50\%", "50"),
        (r"90^\circ", "90 degrees"),
        ("$18", "The answer is 18 dollars."),
        ("5 km", "5km"),
        (r"3\sqrt{13}", "Thus the distance is $3\\sqrt{13}$."),
        (r"3\sqrt{13}", "The answer is $3\\sqrt{13}$ units."),
        (r"3\sqrt{13}", r"\boxed{\sqrt{117}}"),
        (r"x^2-3x+2", r"\boxed{(x-1)(x-2)}"),
        ("(2,3)", r"\boxed{\left(2, 3\right)}"),
        ("Paris", "The answer is Paris. It lies on the Seine."),
        ("Paris", "So it must be **Paris**, of course."),
    ],
)
def test_right_answers_in_other_words(truth: str, answer: str) -> None:
    assert is_right(truth, answer)


@pytest.mark.parametrize(
    ("truth", "answer"),
    [
        ("20", "It is 10 to 20."),
        ("20", "It is $10$ to $20$."),
        ("20", "It lies between **10** and **20**."),
        ("3", "The answer is 2 or 3."),
        ("5", "The answer is not 5."),
        ("5", "It has 5 million people."),
        ("30", "It was 5:30."),
        ("12", "7 + 5 = 13"),
        ("1000000", "1000001"),
    ],
)
def test_a_number_out_of_a_sentence_about_another_is_wrong(truth: str, answer: str) -> None:
    assert not is_right(truth, answer)


@pytest.mark.parametrize(
    "answer",
    [r"\boxed{9^{9^{9^{9}}}}", r"\boxed{9^9^9^9}", r"\boxed{9^{999999999}}", r"\boxed{999999!}",
     "\\[" * 20_000 + "5" + "\\]" * 20_000, "$ " * 50_000, "answer is " * 20_000, "7" * 9_000],
    ids=lambda answer: answer[:20],
)  # fmt: skip
def test_an_answer_holds_up_no_thread(answer: str) -> None:
    assert not is_right("5", answer)


def test_reward_and_anchors_know_the_same_truths() -> None:
    for answer, expected in ((r"\boxed{3\sqrt{13}}", True), (r"\boxed{3}", False)):
        scores = []
        work = threading.Thread(  # where math-verify's own timeouts do not work
            target=lambda answer=answer, scores=scores: scores.append(
                ExactMatch(r"3\sqrt{13}").score(Case(question="?", answer=answer)).value
            )
        )
        work.start()
        work.join()
        assert scores == [0.0 if expected else -1.0]
        assert right([Anchor(question="?", answer=r"3\sqrt{13}")], [answer]) == expected


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        (r"\boxed{\text{a cat}}", "B"),
        ("**B**", "B"),
        ("**(B) a cat**", "B"),
        ("The answer is a cat.", "B"),  # not A
        ("The answer is a bird.", None),
        ("The answer is A or B.", None),
        ("The answer is B because a cat purrs.", "B"),
    ],
)
def test_a_choice_is_stated_as_a_whole(answer: str, letter: str | None) -> None:
    asked = Item(key="1", question="?", truth="B", choices=("a dog", "a cat"))
    assert CHOICE.final(asked, answer) == letter


def test_the_teaching_worlds_answers_are_scored_as_by_its_own_rule() -> None:
    for question in questions("test", 210) + questions("unseen", 210):
        for source in filter(None, (question.right, question.wrong)):
            own = teaching_is_right(question, str(source))
            assert is_right(question.truth, str(source)) == own, (question.text, str(source))
