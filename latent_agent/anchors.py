"""Known answers that an operator gives, so that a judge's errors cannot carry a prior away."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latent_agent.errors import SettingError
from latent_agent.reward.equivalence import same_answer


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A question with its known answer."""

    question: str
    answer: str


def read_anchors(path: Path) -> list[Anchor]:
    """Read known answers, one JSON object a line: ``{"question": ..., "answer": ...}``.

    Raises:
        SettingError: If the file cannot be read, or a line is no such object.
    """
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(
            f"anchors must be in a text file, got {str(path)!r} ({error}); give the path of a "
            'JSON Lines file: {"question": ..., "answer": ...}'
        ) from error
    return [_anchor(line, number, path) for number, line in enumerate(lines, 1) if line.strip()]


def _anchor(line: str, number: int, path: Path) -> Anchor:
    try:
        told = json.loads(line)
        return Anchor(question=str(told["question"]), answer=str(told["answer"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SettingError(
            f'each line of anchors must be {{"question": ..., "answer": ...}}, got {line[:80]!r} '
            f"in line {number} of {str(path)!r}"
        ) from error


def right(anchors: Sequence[Anchor], answers: Sequence[str]) -> int:
    """Count the answers that equal what is known."""
    pairs = zip(anchors, answers, strict=True)
    return sum(same_answer(anchor.answer, answer) for anchor, answer in pairs)
