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

    reads_model = False

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
        matches = self._pattern.search(case.answer) is not None
        return Score(value=0.0 if matches else -1.0, checks={"format": float(matches)})


class ExactMatch(Reward):
    r"""Perfect sparse reward (PSRM): 0 if the answer equals the known truth, else -1.

    What the answer states in its ``\boxed{}``, after its last "answer is" or on its last line is
    compared with the truth as a whole: numbers by value and unit, formulas by ``math-verify``,
    other truths (a name, a weekday, a time) as text. For experiments: in real use no truth is
    known.

    Args:
        truths: The truth, or truths by question text.
    """

    reads_model = False

    def __init__(self, truths: str | Mapping[str, str]) -> None:
        self._truths = truths

    @property
    def id(self) -> str:
        """The same for all truths: the truth does not depend on who wrote it down."""
        return built_in_id(self)

    def score(self, case: Case) -> Score:
        """Compare the answer with the question's truth."""
        question, truths = case.question, self._truths
        if not isinstance(truths, str) and question not in truths:
            raise RewardError(
                f"ExactMatch must know the truth of every question, got {question!r}; add it to "
                "truths"
            )
        right = same_answer(truths if isinstance(truths, str) else truths[question], case.answer)
        return Score(value=0.0 if right else -1.0, checks={"exact": float(right)})
