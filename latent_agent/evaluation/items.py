"""Questions with known answers: files in the published layouts, and the teaching world."""

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from latent_agent.errors import EvaluationError
from latent_agent.reward.finals import LETTERS
from latent_agent.teaching.families import PLANTED, TRAINED, UNSEEN
from latent_memory.json_lines import json_lines

_QUESTION = ("question", "problem", "query", "prompt", "input")
_ANSWER = ("answer", "answerkey", "final_answer", "expected_answer", "target", "label", "solution")
_FAMILY = ("family", "subject", "category", "type")
_CHOICES = ("choices", "options")
BUNDLED = "bundled"


@dataclass(frozen=True, kw_only=True)
class Item:
    """A question with its truth.

    Attributes:
        key: Its name among the items of an evaluation.
        question: What is asked, choices included.
        truth: The true final answer; the letter, where there are choices.
        family: Which kind it is of; empty if nobody says.
        planted: Whether the family holds planted habits (the teaching world).
        choices: The texts to choose from, if it is multiple choice.
        world: Whether it is a question of the teaching world.
    """

    key: str
    question: str
    truth: str
    family: str = ""
    planted: bool = False
    choices: tuple[str, ...] = ()
    world: bool = False


def load_items(
    source: str, count: int | None = None, seed: int = 0, families: Sequence[str] = ()
) -> list[Item]:
    """Load items.

    Args:
        source: A JSON Lines file, or ``bundled``, ``bundled:validation``, or several splits as in
            ``bundled:test+unseen``.
        count: How many at most; of each split. None: a whole file, or 210 of each split.
        seed: Which questions of the teaching world are drawn.
        families: Only items of these families.

    Raises:
        EvaluationError: If there is no such file or split, or a line is no item.
    """
    name, _, splits = source.partition(":")
    if name == BUNDLED:
        items = [
            item
            for split in (splits or "test").split("+")
            for item in _bundled(split, count or 210, seed, families)
        ]
    else:
        items = [
            item for item in read_items(Path(source)) if not families or item.family in families
        ]
        items = items[:count]
    if not items:
        raise EvaluationError(
            f"there must be at least one question, got none in {source!r} of the families "
            f"{list(families) or 'all'!r}; give another --data, or other families"
        )
    return items


def digest(items: Iterable[Item]) -> str:
    """Return a hash of these items."""
    text = json.dumps([asdict(item) for item in items], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _bundled(split: str, count: int, seed: int, families: Sequence[str]) -> list[Item]:
    from latent_agent.teaching import questions

    known = UNSEEN if split == "unseen" else TRAINED
    wanted = [family for family in families if family in known]
    share = len(known) / len(wanted) if wanted else 1.0
    if families and not wanted:
        return []
    try:
        drawn = questions(split, -(-int(count * share) // len(known)) * len(known), seed)
    except ValueError as error:
        raise EvaluationError(str(error)) from error
    items = [
        Item(
            key=f"{split}-{seed}-{number}",
            question=question.text,
            truth=question.truth,
            family=question.family,
            planted=question.family in PLANTED,
            world=True,
        )
        for number, question in enumerate(drawn)
        if not wanted or question.family in wanted
    ]
    return items[:count]


def read_items(path: Path) -> list[Item]:
    """Read a JSON Lines file.

    Raises:
        EvaluationError: If it cannot be read, or a line is no item; the line's number is given.
    """
    try:
        with path.open("rb") as file:
            return [_item(line, number, path) for number, line in json_lines(file)]
    except OSError as error:
        raise EvaluationError(
            f"data must be 'bundled' or a JSON Lines file in UTF-8, got {str(path)!r} ({error}); "
            'give the path of one, for example with lines {"question": "1 + 1 = ?", "answer": "2"}'
        ) from error


def _item(line: bytes, number: int, path: Path) -> Item:
    try:
        row: Any = json.loads(line.decode())
        if not isinstance(row, dict):
            raise ValueError("it is no JSON object")
        return item_of({str(name).lower(): value for name, value in row.items()}, str(number))
    except (ValueError, RecursionError) as error:
        shown = line[:80].decode(errors="replace").strip()
        raise EvaluationError(
            f"line {number} of {str(path)!r} must be a JSON object with a question and an answer, "
            f"got {shown!r} ({error}); fix or drop the line"
        ) from error


def item_of(row: Mapping[str, Any], key: str) -> Item:
    """Turn a row, its names in lower case, into an item.

    Raises:
        ValueError: If it holds no question that is a text, or no answer.
    """
    question = _first(row, _QUESTION, "question")
    if not isinstance(question, str):
        raise ValueError(f"its question must be a text, got {question!r}")
    answer, family = _first(row, _ANSWER, "answer"), _first(row, _FAMILY)
    choices = _choices(_first(row, _CHOICES))
    if choices:
        lines = [f"{LETTERS[number]}. {text}" for number, text in enumerate(choices)]
        question = "\n".join([question, *lines])
        truth = _letter(answer, choices, _labels(_first(row, _CHOICES)))
    else:
        truth = _plain(answer)
    return Item(
        key=key,
        question=question,
        truth=truth,
        family=family if isinstance(family, str) else "",
        choices=choices,
    )


def _first(row: Mapping[str, Any], names: Sequence[str], needed: str = "") -> Any:
    for name in names:
        if row.get(name) is not None and row[name] != "":
            return row[name]
    if needed:
        raise ValueError(f"it has no {needed}; name it one of {', '.join(names)}")
    return None


def _plain(answer: Any) -> str:
    """Return the final answer; in GSM8K's layout what follows ``####``, without its commas."""
    if isinstance(answer, (dict, list)):
        raise ValueError(f"its answer must be a text or a number, got {answer!r}")
    text = str(answer)
    if "####" not in text:
        return text.strip()
    final = text.rsplit("####", 1)[1].strip()
    return re.sub(r"(?<=\d),(?=\d{3})", "", final)


def _choices(given: Any) -> tuple[str, ...]:
    texts: Any = given
    if isinstance(given, dict):  # {"text": [...], "label": [...]}, or {"A": ..., "B": ...}
        texts = given["text"] if "text" in given else [given[name] for name in sorted(given)]
    if texts is None:
        return ()
    if not isinstance(texts, list) or not 2 <= len(texts) <= len(LETTERS):
        raise ValueError(f"its choices must be a list of 2 to {len(LETTERS)}, got {given!r}")
    if any(isinstance(text, (dict, list)) or text is None for text in texts):
        raise ValueError(f"its choices must be texts or numbers, got {texts!r}")
    return tuple(str(text) for text in texts)


def _labels(given: Any) -> list[str]:
    if not isinstance(given, dict):
        return []
    return [str(label) for label in given.get("label", sorted(given))]


def _letter(answer: Any, choices: Sequence[str], labels: Sequence[str]) -> str:
    """Return the true choice's letter: given as letter, as index from 0, or as the text itself."""
    if isinstance(answer, int) and not isinstance(answer, bool):
        if 0 <= answer < len(choices):
            return LETTERS[answer]
    else:
        text = str(answer).strip()
        if text in labels:
            return LETTERS[labels.index(text)]
        if text in choices:
            return LETTERS[choices.index(text)]
        letter = text.strip("().").upper()
        if len(letter) == 1 and letter in LETTERS[: len(choices)]:
            return letter
        if text.isdecimal() and int(text) < len(choices):
            return LETTERS[int(text)]
    raise ValueError(
        f"its answer must be one of the choices' letters, an index from 0 to {len(choices) - 1}, "
        f"or a choice's text, got {answer!r}"
    )
