"""Known answers that an operator gives, so that a judge's errors cannot carry a prior away."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from latent_agent.call.stored_call import StoredCall
from latent_agent.errors import SettingError
from latent_agent.reward.equivalence import same_answer
from latent_memory.json_lines import json_lines


@dataclass(frozen=True, kw_only=True)
class Anchor:
    """A question with its known answer, and the system prompt that calls have, if any."""

    question: str
    answer: str
    system: str | None = None

    @property
    def asked(self) -> StoredCall:
        """The conversation."""
        return StoredCall.question(self.question, self.system)


def read_anchors(path: Path) -> list[Anchor]:
    """Read known answers, one JSON object a line: ``{"question": ..., "answer": ...}``.

    A ``"system"`` beside them is the system prompt that stands before the question.

    Raises:
        SettingError: If the file cannot be read, or a line is no such object.
    """
    try:
        with path.open("rb") as file:
            return [_anchor(line, number, path) for number, line in json_lines(file)]
    except OSError as error:
        raise SettingError(
            f"anchors must be in a text file, got {str(path)!r} ({error}); give the path of a "
            'JSON Lines file: {"question": ..., "answer": ...}'
        ) from error


def _anchor(line: bytes, number: int, path: Path) -> Anchor:
    try:
        row = json.loads(line.decode())
        question, answer, system = row["question"], row["answer"], row.get("system")
        if not isinstance(question, str) or not isinstance(answer, str | int | float):
            raise TypeError("a question must be a text, and an answer a text or a number")
        if not isinstance(system, str | None):
            raise TypeError("a system prompt must be a text")
        return Anchor(question=question, answer=str(answer), system=system)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        shown = line[:80].decode(errors="replace").strip()
        raise SettingError(
            f'each line of anchors must be {{"question": ..., "answer": ...}}, got {shown!r} '
            f"in line {number} of {str(path)!r} ({error})"
        ) from error


def right(anchors: Sequence[Anchor], answers: Sequence[str]) -> int:
    """Count the answers that equal what is known."""
    pairs = zip(anchors, answers, strict=True)
    return sum(same_answer(anchor.answer, answer) for anchor, answer in pairs)
