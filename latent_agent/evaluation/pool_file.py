"""A pool on disk: a line of settings, then a line a question with all its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latent_agent.errors import EvaluationError
from latent_agent.evaluation.notes import Notes

_DIGITS = 4  # of a log-probability


@dataclass(frozen=True, kw_only=True)
class PooledAnswer:
    """One answer of a pool.

    Attributes:
        text: What it says.
        final: What it states in the end, in the form in which votes are counted; None: nothing.
        right: Whether it is right; one that was cut off is not.
        whole: Whether it ended by itself.
        tokens: Its length, a stop token included.
        logprobs: The natural log-probability of each token, at temperature 1.
    """

    text: str
    final: str | None
    right: bool
    whole: bool
    tokens: int
    logprobs: tuple[float, ...]

    @property
    def logprob(self) -> float:
        """The whole answer's log-probability."""
        return sum(self.logprobs)


@dataclass(frozen=True, kw_only=True)
class PooledQuestion:
    """A question with its answers; the first is greedy.

    Attributes:
        key: The item's name in its file.
        question: What was asked, choices included.
        truth: The true answer.
        family: Of which kind the question is; empty if nobody says.
        choices: The texts to choose from, if it is multiple choice.
        answers: All answers, in the order of their sampling.
        tokens: Forwarded tokens of all of it, the prompt read once.
    """

    key: str
    question: str
    truth: str
    family: str
    choices: tuple[str, ...]
    answers: Sequence[PooledAnswer]
    tokens: int


class PoolFile:
    """A pool that grows as questions are answered, and keeps to the settings it began with.

    Args:
        path: Its file.
        settings: All that answers hang on; None: those of a file that is there.

    Raises:
        EvaluationError: If the file holds a pool of other settings, or none where one is read.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any] | None = None) -> None:
        if settings is None and not path.is_file():
            raise EvaluationError(
                f"a pool must be a file of sampled answers, got {str(path)!r}, which is none; "
                "sample it first, with `python -m dev.pool sample` in a checkout"
            )
        self._notes = Notes(path)
        if settings is not None and not self._notes.rows:
            self._notes.add(**settings)
        if not self._notes.rows or "model" not in self._notes.rows[0]:
            raise EvaluationError(
                f"a pool must begin with a line of its settings, got {str(path)!r}; give another "
                "file, or sample anew, with `python -m dev.pool sample` in a checkout"
            )
        self.settings: Mapping[str, Any] = self._notes.rows[0]
        if settings is not None and (other := differing(self.settings, settings)):
            raise EvaluationError(
                f"a pool must keep to the {other} it began with, "
                f"{self.settings.get(other)!r}, got {settings.get(other)!r} for {str(path)!r}; "
                "give another --out"
            )
        self.asked = [_asked(row) for row in self._notes.rows[1:]]

    def add(self, asked: PooledQuestion) -> None:
        """Write down a question that was answered, at once."""
        row = asdict(asked)
        for answer, one in zip(row["answers"], asked.answers, strict=True):
            answer["logprob"] = round(one.logprob, _DIGITS)
            answer["logprobs"] = [round(value, _DIGITS) for value in one.logprobs]
        self._notes.add(**row)
        self.asked.append(asked)


def differing(known: Mapping[str, Any], given: Mapping[str, Any]) -> str | None:
    """Return the name of a setting that differs; None: all are the same."""
    names = [*known, *(name for name in given if name not in known)]
    return next((name for name in names if known.get(name) != given.get(name)), None)


def _asked(row: Mapping[str, Any]) -> PooledQuestion:
    answers = [
        PooledAnswer(
            text=one["text"],
            final=one["final"],
            right=one["right"],
            whole=one["whole"],
            tokens=one["tokens"],
            logprobs=tuple(one["logprobs"]),
        )
        for one in row["answers"]
    ]
    return PooledQuestion(
        key=row["key"],
        question=row["question"],
        truth=row["truth"],
        family=row["family"],
        choices=tuple(row["choices"]),
        answers=answers,
        tokens=row["tokens"],
    )
