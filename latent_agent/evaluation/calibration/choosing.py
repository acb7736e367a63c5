"""Which reward and which width, for a budget of time: chosen on some questions, shown on others."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from latent_agent.evaluation.statistics import Comparison, Estimate, compare, estimate

FOLDS = 5
_CHANCE = 0.05


@dataclass(frozen=True, kw_only=True)
class JudgedRound:
    """A round of answers of which a reward takes the best.

    Attributes:
        reward: The reward's name.
        width: Answers of the round, the plain one among them.
        picks: Of each question, whether the answer that it takes is right.
        seconds: What a call takes, in plain answers.
        tokens: What it forwards, in plain answers.
    """

    reward: str
    width: int
    picks: Sequence[bool]
    seconds: float
    tokens: float


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What is recommended of some candidates.

    Attributes:
        best: The best on all questions; None: none is better than the plain answer.
        right: Share of right answers of the choice, each question by what was chosen on others.
        gain: That less the plain answer.
    """

    best: JudgedRound | None
    right: Estimate
    gain: Comparison

    @property
    def shown(self) -> bool:
        """Whether a gain is shown."""
        return self.best is not None and shown(self.gain)


def shown(gain: Comparison) -> bool:
    """Whether a gain is shown: its interval lies above zero, and a sign test agrees.

    Of few questions the bootstrap alone is too sure.
    """
    return gain.difference.low > 0 and gain.p < _CHANCE


def choose(candidates: Sequence[JudgedRound], plain: Sequence[bool], seed: int = 0) -> Choice:
    """Choose by folds of the questions: what is chosen on four fifths is shown on the fifth.

    Args:
        candidates: Within the budget; may be empty.
        plain: Of each question, whether the plain answer is right.
        seed: Of the folds.
    """
    order = list(range(len(plain)))
    random.Random(f"folds-{seed}").shuffle(order)
    drafts = [float(one) for one in plain]
    outcomes = list(drafts)
    for fold in range(FOLDS):
        held = order[fold::FOLDS]
        best = _best(candidates, drafts, sorted(set(order) - set(held)))
        if best is not None:
            for place in held:
                outcomes[place] = float(best.picks[place])
    return Choice(
        best=_best(candidates, drafts, order),
        right=estimate(outcomes, share=True),
        gain=compare(outcomes, drafts),
    )


def _best(
    candidates: Sequence[JudgedRound], drafts: Sequence[float], places: Sequence[int]
) -> JudgedRound | None:
    """Return the candidate with the most right answers, of equal ones the cheapest.

    None: none has more than the plain answer.
    """

    def right(candidate: JudgedRound) -> float:
        return fmean([float(candidate.picks[place]) for place in places])

    if not places:
        return None
    least = fmean([drafts[place] for place in places])
    better = [one for one in candidates if right(one) > least]
    return max(better, key=lambda one: (right(one), -one.seconds), default=None)
