"""Is an answer right, and what does it say in the end."""

import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import math_verify

from latent_agent.errors import EvaluationError
from latent_agent.evaluation.items import LETTERS, Item
from latent_agent.importing import named
from latent_agent.reward import Case, Reward, Score
from latent_agent.teaching.world import final_answer

_SECONDS = 5  # to parse a formula, or to compare two
_STATED = re.compile(r"answer is:?\s*([^\n]*?)\.?\s*(?:\n|$)", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?\s*\(?([A-Z])\b")
_NAMED = re.compile(
    r"(?:answer|choice|option)(?:\s+is)?\s*:?\s*\**\(?([A-Z])\b(?!')", re.IGNORECASE
)
_ALONE = re.compile(r"(?:^|\s)\(?([A-Z])[).]?\**\s*$", re.MULTILINE)


class Checker(Protocol):
    """Tells right answers from wrong ones."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Tell whether an answer is right."""
        ...

    def final(self, item: Item, answer: str) -> str | None:
        """Return what an answer says in the end, so that votes can be counted; None: nothing."""
        ...


def _limit() -> int:
    """Return the seconds that math-verify may take; its timeouts are signals of the main thread."""
    return _SECONDS if threading.current_thread() is threading.main_thread() else 0


def stated(answer: str) -> str | None:
    """Return what follows the last "answer is" of a text, or its last line; None if it is empty."""
    found = _STATED.findall(answer)
    lines = answer.strip().splitlines()
    text = found[-1] if found else lines[-1] if lines else ""
    return text.strip().rstrip(".").casefold() or None


class Exact:
    """By the text after the last "answer is", or the last line; case does not count."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Compare the texts."""
        return stated(answer) == item.truth.strip().rstrip(".").casefold()

    def final(self, item: Item, answer: str) -> str | None:  # noqa: ARG002
        """Return the stated text."""
        return stated(answer)


class Formula:
    """By ``math-verify``; truths that are no formula by their text."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Compare the values; the truth is math-verify's first argument."""
        gold = math_verify.parse(item.truth, parsing_timeout=_limit())
        if not gold:
            return Exact().is_right(item, answer)
        said = math_verify.parse(answer, parsing_timeout=_limit())
        return bool(said) and bool(math_verify.verify(gold, said, timeout_seconds=_limit()))

    def final(self, item: Item, answer: str) -> str | None:
        """Return the value in one form, so that 0.5 and 1/2 are one vote."""
        said: list[Any] = math_verify.parse(answer, parsing_timeout=_limit())
        if not said:
            return Exact().final(item, answer)
        value = said[0]
        try:
            return f"{float(value):.10g}"
        except (TypeError, ValueError, OverflowError, AttributeError):
            return str(value)


class Choice:
    """By the letter of the choice, or by its text."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Compare the letters."""
        return self.final(item, answer) == item.truth

    def final(self, item: Item, answer: str) -> str | None:
        """Return the letter that an answer settles on."""
        known = LETTERS[: len(item.choices)]
        for pattern in (_BOXED, _NAMED, _ALONE):
            letters = [letter for letter in pattern.findall(answer) if letter.upper() in known]
            if letters:
                return letters[-1].upper()
        said = stated(answer)
        texts = [choice.strip().rstrip(".").casefold() for choice in item.choices]
        return known[texts.index(said)] if said in texts else None


class World:
    """By the teaching world's own rule: the word after the last "answer is"."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Compare the words."""
        return final_answer(answer) == item.truth

    def final(self, item: Item, answer: str) -> str | None:  # noqa: ARG002
        """Return the word."""
        return final_answer(answer)


class Fitting:
    """Each item by its kind: the teaching world's rule, the choice's letter, or math-verify."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Ask the checker that fits."""
        return self._of(item).is_right(item, answer)

    def final(self, item: Item, answer: str) -> str | None:
        """Ask the checker that fits."""
        return self._of(item).final(item, answer)

    def _of(self, item: Item) -> Checker:
        if item.world:
            return World()
        return Choice() if item.choices else Formula()


class Told:
    """By a callable ``(question, truth, answer) -> bool``."""

    def __init__(self, function: Callable[[str, str, str], object]) -> None:
        self._function = function

    def is_right(self, item: Item, answer: str) -> bool:
        """Ask the callable."""
        return bool(self._function(item.question, item.truth, answer))

    def final(self, item: Item, answer: str) -> str | None:  # noqa: ARG002
        """Return the stated text: a callable says nothing of votes."""
        return stated(answer)


CHECKERS: Mapping[str, Callable[[], Checker]] = {
    "auto": Fitting,
    "math": Formula,
    "exact": Exact,
    "choice": Choice,
    "bundled": World,
}


def checker_named(name: str) -> Checker:
    """Return the checker that a name or ``module:attribute`` stands for.

    Raises:
        EvaluationError: If there is none.
    """
    if name in CHECKERS:
        return CHECKERS[name]()
    module, _, attribute = name.partition(":")
    if not attribute:
        raise EvaluationError(
            f"check must be one of {', '.join(CHECKERS)} or module:attribute, got {name!r}; for "
            "example --check my_checks:same"
        )
    try:
        return Told(named(module, attribute))
    except (ImportError, AttributeError) as error:
        raise EvaluationError(
            f"check must be importable, got {name!r} ({error}); run the command from the folder "
            "that holds the module, or install it"
        ) from error


class KnownTruth(Reward):
    """LatentSeek's perfect sparse reward (PSRM): 0 if the checker calls an answer right, else -1.

    Args:
        checker: What is right.
        item: The one question that is asked.
    """

    def __init__(self, checker: Checker, item: Item) -> None:
        self._checker, self._item = checker, item

    def score(self, case: Case) -> Score:
        """Ask the checker."""
        right = self._checker.is_right(self._item, case.answer)
        return Score(value=0.0 if right else -1.0, checks={"exact": float(right)})
