"""Is an answer right, and what does it say in the end."""

import re
from collections.abc import Callable, Mapping
from typing import Protocol

from latent_agent.errors import EvaluationError
from latent_agent.evaluation.items import LETTERS, Item
from latent_agent.reward import Case, Reward, Score
from latent_agent.reward.by_name import named
from latent_agent.reward.equivalence import same_answer, same_text, vote
from latent_agent.reward.final_answer import plain, statements
from latent_agent.teaching.world import final_answer

_LETTER = re.compile(r"(?:\(([A-Za-z])\)|([A-Za-z])[.:)])(?:\s.*)?|([A-Za-z])")
_NAMED = re.compile(
    r"(?i:(?:answer|choice|option)(?:\s+is)?)\s*:?\s*\**\(?([A-Z])\b(?!')"
    r"(?!(?<=[AI])\s+(?!(?:because|since|as|is|for)\b)[a-z])"  # A dog
    r"(?!\s*(?:or|and|,|/|&)\s*\(?[A-Z]\b)"  # A or B
)
_ALONE = re.compile(
    r"(?<!\bor)(?<!\band)(?<!\bnot)(?<!,)(?:^|\s)\(?([A-Z])[).]?\**\s*$", re.MULTILINE
)


class Checker(Protocol):
    """Tells right answers from wrong ones."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Tell whether an answer is right."""
        ...

    def final(self, item: Item, answer: str) -> str | None:
        """Return what an answer says in the end, so that votes can be counted; None: nothing."""
        ...


def stated(answer: str) -> str | None:
    """Return the text that an answer states in the end; None if it is empty."""
    said = statements(answer)
    return said[0].casefold() if said else None


class Exact:
    """By the text in the box, after the last "answer is", or on the last line; case is ignored."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Compare the texts."""
        truth = plain(item.truth)
        return any(same_text(truth, said) for said in [plain(answer), *statements(answer)])

    def final(self, item: Item, answer: str) -> str | None:  # noqa: ARG002
        """Return the stated text."""
        return stated(answer)


class Formula:
    """By the truth's own kind: a number by value and unit, a formula by ``math-verify``, a text."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Compare with the truth as a whole."""
        return same_answer(item.truth, answer)

    def final(self, item: Item, answer: str) -> str | None:  # noqa: ARG002
        """Return the value in one form, so that 0.5 and 1/2 are one vote."""
        return vote(answer)


class Choice:
    """By the letter of the choice, or by its text."""

    def is_right(self, item: Item, answer: str) -> bool:
        """Compare the letters."""
        return self.final(item, answer) == item.truth

    def final(self, item: Item, answer: str) -> str | None:
        """Return the letter that an answer settles on."""
        known = LETTERS[: len(item.choices)]
        for said in statements(answer):
            if (letter := _letter(said)) and letter in known:
                return letter
            for letter, choice in zip(known, item.choices, strict=True):
                if same_text(plain(choice), said):
                    return letter
        for pattern in (_NAMED, _ALONE):
            letters = [letter for letter in pattern.findall(answer) if letter in known]
            if letters:
                return letters[-1]
        return None


def _letter(said: str) -> str | None:
    """Return the letter of "B", "(B) green" and "B. green"."""
    found = _LETTER.fullmatch(said)
    return next(filter(None, found.groups())).upper() if found else None


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
