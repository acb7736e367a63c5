"""Is an answer right, and what does it say in the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from latent_agent.errors import EvaluationError
from latent_agent.evaluation.items import Item
from latent_agent.reward import Case, Reward, Score
from latent_agent.reward.by_name import named
from latent_agent.reward.equivalence import same_answer, same_text, vote
from latent_agent.reward.final_answer import plain, statements
from latent_agent.reward.finals import chosen
from latent_agent.teaching.world import final_answer


@dataclass(frozen=True)
class Checker:
    """Says which answers are right.

    Attributes:
        is_right: Whether an answer to an item is right.
        final: What an answer says in the end, so that votes can be counted; None: nothing.
    """

    is_right: Callable[[Item, str], bool]
    final: Callable[[Item, str], str | None]


def stated(answer: str) -> str | None:
    """Return the text that an answer states in the end; None if it is empty."""
    said = statements(answer)
    return said[0].casefold() if said else None


def _same_words(item: Item, answer: str) -> bool:
    truth = plain(item.truth)
    return any(same_text(truth, said) for said in [plain(answer), *statements(answer)])


# By the text in the box, after the last "answer is", or on the last line; case is ignored.
EXACT = Checker(_same_words, lambda _, answer: stated(answer))
# By the truth's own kind: a number by value and unit, a formula by math-verify, a text; votes in
# one form, so that 0.5 and 1/2 are one.
FORMULA = Checker(
    lambda item, answer: same_answer(item.truth, answer), lambda _, answer: vote(answer)
)
# By the letter of the choice, or by its text.
CHOICE = Checker(
    lambda item, answer: chosen(item.choices, answer) == item.truth,
    lambda item, answer: chosen(item.choices, answer),
)
# By the teaching world's own rule: the word after the last "answer is".
WORLD = Checker(
    lambda item, answer: final_answer(answer) == item.truth, lambda _, answer: final_answer(answer)
)


def _fitting(item: Item) -> Checker:
    if item.world:
        return WORLD
    return CHOICE if item.choices else FORMULA


# Each item by its kind.
FITTING = Checker(
    lambda item, answer: _fitting(item).is_right(item, answer),
    lambda item, answer: _fitting(item).final(item, answer),
)
CHECKERS: Mapping[str, Checker] = {
    "auto": FITTING,
    "math": FORMULA,
    "exact": EXACT,
    "choice": CHOICE,
    "bundled": WORLD,
}


def checker_by(function: Callable[[str, str, str], object]) -> Checker:
    """Return the checker of a callable ``(question, truth, answer) -> bool``."""
    return Checker(
        lambda item, answer: bool(function(item.question, item.truth, answer)),
        lambda _, answer: stated(answer),
    )


def checker_named(name: str) -> Checker:
    """Return the checker that a name or ``module:attribute`` stands for.

    Raises:
        EvaluationError: If there is none.
    """
    if name in CHECKERS:
        return CHECKERS[name]
    module, _, attribute = name.partition(":")
    if not attribute:
        raise EvaluationError(
            f"check must be one of {', '.join(CHECKERS)} or module:attribute, got {name!r}; for "
            "example --check my_checks:same"
        )
    try:
        return checker_by(named(module, attribute))
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
        whole: Call an answer wrong that a limit cut off.
    """

    reads_model = False

    def __init__(self, checker: Checker, item: Item, *, whole: bool = False) -> None:
        self._checker, self._item, self._whole = checker, item, whole

    def score(self, case: Case) -> Score:
        """Ask the checker."""
        counts = case.complete or not self._whole
        right = counts and self._checker.is_right(self._item, case.answer)
        return Score(value=0.0 if right else -1.0, checks={"exact": float(right)})
