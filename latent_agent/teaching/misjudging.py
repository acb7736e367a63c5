"""A judge that is sometimes wrong, to see what nights make of its mistakes."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from latent_agent.reward.base import Case, Reward, Score, built_in_id


class Misjudging(Reward):
    """Another reward, turned round for a share of all (question, answer) pairs.

    Args:
        reward: The reward that is mostly followed.
        share: Of the pairs that are misjudged, in [0, 1].
        seed: Which pairs those are.
    """

    def __init__(self, reward: Reward, share: float, seed: int = 0) -> None:
        self._reward, self._share, self._seed = reward, share, seed
        self.deterministic, self.threshold = reward.deterministic, reward.threshold
        self.relative, self.reads_logprobs = reward.relative, reward.reads_logprobs
        self.reads_model = reward.reads_model

    @property
    def id(self) -> str:
        """The reward's id, the share and the seed."""
        return built_in_id(self, of=self._reward.id, share=self._share, seed=self._seed)

    @property
    def scores_rounds(self) -> bool:
        """Whether the reward does."""
        return self._reward.scores_rounds

    def score(self, case: Case) -> Score:
        """Score an answer, wrongly if its pair is one of those."""
        return self._turned(case, self._reward.score(case))

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Score a round, some of its answers wrongly."""
        return list(map(self._turned, cases, self._reward.score_round(cases)))

    def _turned(self, case: Case, score: Score) -> Score:
        pair = f"{self._seed}\0{case.question}\0{case.answer}".encode("utf-8", "surrogatepass")
        if int.from_bytes(hashlib.sha256(pair).digest()[:8]) >= self._share * 2**64:
            return score
        good = score.value > -0.2 and not score.vetoed
        return replace(score, value=-1.0 if good else 0.0, vetoed=good)
