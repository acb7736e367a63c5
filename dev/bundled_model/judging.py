"""What the world's own judge says of an answer: the training targets of the bundled model's judge.

Each reply re-does the work and compares before it gives its verdict, since one token of a small
network cannot redo arithmetic.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from latent_agent.teaching.families import DAYS, calculate, shift_day
from latent_agent.teaching.world import Question, final_answer

CHECKS = ("correct", "understood", "calculation", "clear")
GRADES = ("correct", "understood", "calculation", "format", "clear")
MAX_REPLY_TOKENS = 48
_NOTHING = "nothing"
_PLANS = (
    "add and subtract|add|subtract|multiply|divide|count on|count back|put them in order"
    "|change units"
)
_PLAN = re.compile(rf"We ({_PLANS})\b")
_SUM = re.compile(r"(\d+) ([-+*/]) (\d+)(?: ([-+]) (\d+))? = (\d+)")
_DAY = re.compile(rf"({'|'.join(DAYS)}) ([-+]) (\d+) days = (\w+)")
_ORDER = re.compile(r"([A-Z][a-z]+, [A-Z][a-z]+, [A-Z][a-z]+)\.")


@dataclass(frozen=True, slots=True)
class Assessment:
    """One check's outcome: the working, what the answer says, and a grade in {0, 0.5, 1}."""

    working: str
    grade: float

    @property
    def passed(self) -> bool:
        """Whether the check's yes/no verdict is True."""
        return self.grade == 1.0

    def verdict_reply(self) -> str:
        """The reply to ``Check``: working, then True or False."""
        return f"{self.working} {self.passed}"

    def grade_reply(self) -> str:
        """The reply to ``Grade``: working, then a score."""
        return f"{self.working} Score {self.grade:g}"


def _compare(working: str, ours: str, theirs: str) -> Assessment:
    return Assessment(f"{working} It says {theirs}.", float(ours == theirs))


def _redo(left: int, operation: str, right: int) -> tuple[str, str]:
    value = calculate(left, operation, right)
    result = _NOTHING if value is None else str(value)
    return f"{left} {operation} {right} = {result}.", result


def _redo_sum(found: re.Match[str]) -> tuple[str, str, str]:
    """Work a sum of the answer anew; return (working, our result, the answer's result)."""
    working, result = _redo(int(found[1]), found[2], int(found[3]))
    if found[4] and result != _NOTHING:
        more, result = _redo(int(result), found[4], int(found[5]))
        working = f"{working} {more}"
    return working, result, found[6]


def _redo_day(found: re.Match[str]) -> tuple[str, str, str]:
    days = int(found[3])
    result = shift_day(found[1], days if found[2] == "+" else -days)
    return f"{found[1]} {found[2]} {days} days = {result}.", result, found[4]


def _calculations(answer: str) -> list[tuple[str, str, str]]:
    sums = [_redo_sum(found) for found in _SUM.finditer(answer)]
    return sums or [_redo_day(found) for found in _DAY.finditer(answer)]


def _check_calculation(question: Question, answer: str) -> Assessment:
    found = _ORDER.search(answer)
    if question.family == "order":
        ours = str(question.work[0])
        return _compare(f"Redo {ours}.", ours, found[1] if found else _NOTHING)
    redone = _calculations(answer)[:2]
    if not redone:
        return Assessment(f"Redo {_NOTHING}.", 0.0)
    working = " ".join(f"{work} It says {theirs}." for work, _, theirs in redone)
    return Assessment(
        f"Redo {working}", sum(ours == theirs for _, ours, theirs in redone) / len(redone)
    )


def _last_result(question: Question, answer: str) -> str:
    if question.family == "order":
        found = _ORDER.search(answer)
        if not found:
            return _NOTHING
        names = found[1].split(", ")
        return names[0] if question.truth == question.work[0].result.split(", ")[0] else names[2]
    redone = _calculations(answer)
    return redone[-1][2] if redone else _NOTHING


def _check_clear(question: Question, answer: str) -> Assessment:
    stated = final_answer(answer)
    result = _last_result(question, answer)
    finding = _compare(f"Result {result}.", result, stated or "no answer")
    if stated and finding.grade == 0.0:
        return Assessment(finding.working, 0.5)
    return finding


def assess(question: Question, answer: str) -> dict[str, Assessment]:
    """Judge an answer by the world's rules: one finding a check, and one for `format`."""
    plan = _PLAN.search(answer)
    stated = final_answer(answer) or "no answer"
    right_plan = question.right.plan
    return {
        "correct": _compare(_right_work(question), question.truth, stated),
        "understood": _compare(f"Plan {right_plan}.", right_plan, plan[1] if plan else _NOTHING),
        "calculation": _check_calculation(question, answer),
        "clear": _check_clear(question, answer),
        "format": Assessment(f"End {stated}.", float(stated != "no answer")),
    }


def _right_work(question: Question) -> str:
    working = " ".join(f"{step}." for step in question.work)
    if question.work[-1].left:
        return f"Work {working}"
    return f"Work {working} So {question.truth}."


def judge_prompt(kind: str, name: str, question: str, answer: str) -> str:
    """The bundled model's short judge prompt.

    ``kind`` is ``Check`` (a worked check, then True or False), ``Grade`` (the same, then a score)
    or ``Quick`` (True or False at once, to be read from the logits of one forward pass).
    """
    return f"Question: {question}\nAnswer: {answer}\n{kind} {name}."


def judge_prompts() -> dict[str, Any]:
    """The prompts that travel in the model's folder, as `JudgePrompts` reads them."""

    def all_of(kind: str, names: Sequence[str]) -> dict[str, str]:
        return {name: judge_prompt(kind, name, "{conversation}", "{answer}") for name in names}

    return {
        "checks": all_of("Check", CHECKS),
        "quick": all_of("Quick", CHECKS),
        "words": [" True", " False"],
        "grades": all_of("Grade", GRADES),
        "grade_scale": 1.0,
        "max_tokens": MAX_REPLY_TOKENS,
    }
