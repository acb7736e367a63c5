"""Rewards that need no model: a format to match, a truth to equal."""

import re
from collections.abc import Mapping

from latent_agent.errors import RewardError
from latent_agent.reward.base import Case, Reward, Score, built_in_id
from latent_agent.reward.equivalence import same_answer


class FormatReward(Reward):
    """0 if the answer matches a pattern, else -1.

    Args:
        pattern: A regular expression, searched for in the answer.
    """

    def __init__(self, pattern: str | re.Pattern[str]) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise RewardError(
                f"pattern must be a regular expression, got {pattern!r} ({error}); escape special "
                "characters with re.escape"
            ) from error

    @property
    def id(self) -> str:
        """The pattern with its flags."""
        return built_in_id(self, pattern=self._pattern.pattern, flags=self._pattern.flags)

    def score(self, case: Case) -> Score:
        """Search the answer for the pattern."""
        found = self._pattern.search(case.answer) is not None
        return Score(value=0.0 if found else -1.0, checks={"format": float(found)})


class ExactMatch(Reward):
    r"""Perfect sparse reward (PSRM): 0 if the answer equals the known truth, else -1.

    What the answer states in its ``\boxed{}``, after its last "answer is" or on its last line is
    compared with the truth as a whole: numbers by value and unit, formulas by ``math-verify``,
    other truths (a name, a weekday, a time) as text. For experiments: in real use no truth is
    known.

    Args:
        truths: The truth, or truths by question text.
    """

    def __init__(self, truths: str | Mapping[str, str]) -> None:
        self._truths = truths

    @property
    def id(self) -> str:
        """The same for all truths: what is right does not hang on who wrote it down."""
        return built_in_id(self)

    def score(self, case: Case) -> Score:
        """Compare the answer with the question's truth."""
        right = same_answer(self._truth(case.question), case.answer)
        return Score(value=0.0 if right else -1.0, checks={"exact": float(right)})

    def _truth(self, question: str) -> str:
        if isinstance(self._truths, str):
            return self._truths
        if question not in self._truths:
            raise RewardError(
                f"ExactMatch must know the truth of every question, got {question!r}; add it to "
                "truths"
            )
        return self._truths[question]
