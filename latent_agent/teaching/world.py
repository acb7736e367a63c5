"""The values of the teaching world: questions, solutions, and what makes one right.

The world is small and hard-wired so that a network of under two million parameters can live in it.
It proves the machinery of latent search; it says nothing about the method on real models.
"""

import hashlib
import re
from dataclasses import dataclass

_FINAL = re.compile(r"answer is:?\s*([^\s.,!?]+)")


@dataclass(frozen=True, slots=True)
class Step:
    """One line of working: ``left = result``, or a bare statement when ``left`` is empty."""

    left: str
    result: str

    def __str__(self) -> str:
        """Render the step as it stands in an answer, without the full stop."""
        return f"{self.left} = {self.result}" if self.left else self.result


@dataclass(frozen=True, slots=True)
class Road:
    """A worked way from a question to a final answer; right or wrong."""

    plan: str
    steps: tuple[Step, ...]
    final: str

    def __str__(self) -> str:
        """Render the worked answer."""
        working = " ".join(f"{step}." for step in self.steps)
        return f"We {self.plan}. {working} The answer is {self.final}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A question with its truth.

    Attributes:
        text: What is asked.
        family: Name of the family that made it.
        planted: Whether the family holds planted habits.
        key: (family, names, numbers, verb); decides the split, never shared between splits.
        right: The right road, as the training answers write it.
        work: The right derivation in small steps, as the judge writes it.
        wrong: The wrong road of the planted habit, if this kind of question has one.
        habit: Share of the training answers that take the wrong road, in [0, 1).
    """

    text: str
    family: str
    planted: bool
    key: tuple[str, ...]
    right: Road
    work: tuple[Step, ...]
    wrong: Road | None = None
    habit: float = 0.0

    @property
    def truth(self) -> str:
        """The true final answer."""
        return self.right.final


def split_of(key: tuple[str, ...]) -> str:
    """Name the split that a (family, names, numbers, verb) combination belongs to.

    The split is a hash of the combination: 10% validation, 15% test, the rest train.
    """
    bucket = int(hashlib.sha256("|".join(key).encode()).hexdigest(), 16) % 100
    if bucket < 10:
        return "validation"
    return "test" if bucket < 25 else "train"


def final_answer(text: str) -> str | None:
    """Return what the last ``The answer is X`` of a text states, or None."""
    answers = _FINAL.findall(text)
    return answers[-1] if answers else None


def is_right(question: Question, answer_text: str) -> bool:
    """Return whether an answer's final statement equals the question's truth."""
    return final_answer(answer_text) == question.truth
