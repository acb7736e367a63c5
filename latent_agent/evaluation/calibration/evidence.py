"""What a calibration shows, and what it recommends."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from latent_agent.call.recipes.saved import Search
from latent_agent.evaluation.calibration.choosing import Choice, JudgedRound, choose, shown
from latent_agent.evaluation.calibration.proof import Proof
from latent_agent.evaluation.calibration.request import LEAST, CalibrationRequest
from latent_agent.evaluation.calibration.scoring import Compared, rights_of
from latent_agent.evaluation.calibration.searching import PUBLISHED, Costs, Solved
from latent_agent.evaluation.pool_file import PooledQuestion
from latent_agent.evaluation.reward_figures import best_of
from latent_agent.evaluation.statistics import Comparison, Estimate, compare, estimate
from latent_agent.reward import Reward

_COMPARED = 5  # answers at least that a call gives a relative reward


@dataclass(frozen=True, kw_only=True)
class Recommended:
    """One way to answer.

    Attributes:
        search: ``plain``, ``samples`` or ``latentseek``.
        reward: Name of the reward that judges; None: none does.
        settings: Settings that differ from the defaults.
        right: Share of right answers.
        gain: That less the plain answer.
        seconds: What a call takes, in plain answers.
        tokens: What it forwards, in plain answers.
    """

    search: Search
    reward: str | None
    settings: Mapping[str, Any]
    right: Estimate
    gain: Comparison
    seconds: float
    tokens: float


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that was found.

    Attributes:
        request: What was asked for.
        pool: The settings of the answers.
        wanted: Questions that were asked for.
        sampled: Those that were answered in time.
        compared: Rewards on those that all of them scored in time.
        rewards: The rewards, by name.
        costs: What rounds cost; None: there was no time.
        solved: Both searches, the truth for a judge; None: the same, or no plain answer is wrong.
        proof: LatentSeek by a reward; None: there is nothing to find, or was no time.
        late: Whether the minutes ended before some of the work.
    """

    request: CalibrationRequest
    pool: Mapping[str, Any]
    wanted: int
    sampled: Sequence[PooledQuestion]
    compared: Compared
    rewards: Mapping[str, Reward]
    costs: Costs | None
    solved: Solved | None
    proof: Proof | None
    late: bool

    @property
    def plain(self) -> list[bool]:
        """Which plain answers are right, of the questions that were scored."""
        return [row[0] for row in self.compared.rights]

    def candidates(self) -> list[JudgedRound]:
        """Return rounds of samples within the budget, each by one reward."""
        return [one for one in self._rounds() if one.seconds <= self.request.budget]

    def _rounds(self) -> list[JudgedRound]:
        if self.costs is None:
            return []
        found: list[JudgedRound] = []
        for name, figures in self.compared.figures.items():
            reward = self.rewards[name]
            for width in self.request.widths:
                if not reward.objective or (reward.relative and width < _COMPARED):
                    continue
                seconds, tokens = self.costs.ratios[width]
                picks = [
                    right[best_of(row[name].at(width))]
                    for right, row in zip(self.compared.rights, self.compared.rows, strict=True)
                ]
                judging = width * (figures.seconds or 0.0) / self.costs.seconds
                read = width * figures.tokens / self.costs.tokens
                found.append(
                    JudgedRound(
                        reward=name, width=width, picks=picks, seconds=seconds + judging,
                        tokens=tokens + read,
                    )
                )  # fmt: skip
        return found

    def choice(self) -> Choice:
        """Return which round of samples is recommended, if one is."""
        return choose(self.candidates(), self.plain)

    @property
    def tells(self) -> bool:
        """Whether anything can be recommended by it: enough questions, and answers of both kinds.

        Else `report.problem` says why not.
        """
        answers = [right for row in rights_of(self.sampled) for right in row]
        enough = len(self.compared.asked) >= LEAST and self.costs is not None
        return enough and any(answers) and not all(answers)

    def recommended(self) -> Recommended | None:
        """Return what is recommended; None: nothing can be."""
        if not self.tells:
            return None
        choice, proof = self.choice(), self.proof
        if proof is not None and shown(proof.gain) and self._beats(proof, choice):
            rounds = max(1, proof.most)  # what was proved: the mean would end most sooner
            return Recommended(
                search="latentseek",
                reward=proof.reward,
                settings={**PUBLISHED, "max_iterations": rounds, "threshold": proof.threshold},
                right=proof.right,
                gain=proof.gain,
                seconds=proof.seconds,
                tokens=proof.tokens,
            )
        if choice.shown and choice.best is not None:
            best = choice.best
            return Recommended(
                search="samples",
                reward=best.reward,
                # Each answer above -1 ends the search: the best of the round is the answer.
                settings={
                    "drafts": best.width, "draft_temperature": self.request.temperature,
                    "threshold": -1.0, "max_iterations": 1,
                },
                right=choice.right,
                gain=choice.gain,
                seconds=best.seconds,
                tokens=best.tokens,
            )  # fmt: skip
        drafts = [float(one) for one in self.plain]
        return Recommended(
            search="plain",
            reward=None,
            settings={"max_iterations": 0},
            right=estimate(drafts, share=True),
            gain=compare(drafts, drafts),
            seconds=1.0,
            tokens=1.0,
        )

    def _beats(self, proof: Proof, choice: Choice) -> bool:
        return not choice.shown or proof.gain.difference.mean > choice.gain.difference.mean
