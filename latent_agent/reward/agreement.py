"""Agreement: how many of a question's answers state the same in the end."""

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from latent_agent.errors import RewardError, SettingError
from latent_agent.reward.base import Case, Reward, Score, built_in_id
from latent_agent.reward.finals import final_in

Votes = Literal["equal", "probability", "perplexity"]


class AgreementReward(Reward):
    """The share of a call's answers that state the same as this one in the end, minus 1.

    Self-consistency (arXiv 2203.11171) as a reward. It is relative: it compares answers, those
    that the call scored before among them, and says nothing of a lone one. An answer that states
    nothing, or was cut off, scores -1 and agrees with none, but counts among all.

    Args:
        votes: ``equal``; ``probability``: each answer counts by the probability of its tokens, and
            twice the same answer once (perplexity consistency in RPC, arXiv 2502.00511);
            ``perplexity``: by the inverse of its perplexity, so that long ones count too.
        least: Fewer answers are counted as so many: a lone one scores ``1 / least - 1``, and two
            that agree end no call.
        threshold: Above it an answer is accepted; None: the settings say. -0.5 is a majority.
    """

    deterministic = False
    relative = True
    reads_model = False

    def __init__(
        self, votes: Votes = "equal", *, least: int = 5, threshold: float | None = None
    ) -> None:
        if votes not in ("equal", "probability", "perplexity"):
            raise SettingError(
                f"votes must be one of equal, probability, perplexity, got {votes!r}; choose one"
            )
        if least < 2:
            raise SettingError(
                f"least must be 2 or more, got {least!r}: one answer agrees with itself; take 5"
            )
        self._votes, self._least, self.threshold = votes, least, threshold
        self.reads_logprobs = votes != "equal"

    @property
    def id(self) -> str:
        """How votes are counted."""
        return built_in_id(self, votes=self._votes, least=self._least)

    def score(self, case: Case) -> Score:
        """Compare an answer with those that were scored before it."""
        return self.score_round([case])[0]

    def score_round(self, cases: Sequence[Case]) -> list[Score]:
        """Compare the answers of a round with each other, and with those before them."""
        known = [*cases[0].earlier, *cases]
        finals = [final_in(one.question, one.answer) if one.complete else None for one in known]
        weights = self._weights(known)
        votes = defaultdict[str | None, float](float)
        for final, weight in zip(finals, weights, strict=True):
            votes[final] += weight
        counted = min(1.0, len(known) / self._least)
        shares = [
            0.0 if final is None else min(1.0, votes[final] / sum(weights)) * counted
            for final in finals[len(known) - len(cases) :]
        ]
        return [Score(value=share - 1.0, checks={"agreement": share}) for share in shares]

    def settled(self, cases: Sequence[Case], unfinished: int, threshold: float) -> bool:
        """Whether a final statement passes with these votes alone, and can't be overtaken any more.

        So self-consistency stops early (arXiv 2305.11860), with no doubt left about the winner.
        Where votes are weighed, nobody knows what those that are still written will weigh.
        """
        if self._votes != "equal" or not cases:
            return False
        known = [*cases[0].earlier, *cases]
        finals = [final_in(one.question, one.answer) for one in known if one.complete]
        votes = sorted(Counter(final for final in finals if final is not None).values())
        leader, second = ([0, 0, *votes])[:-3:-1]
        without = replace(cases[0], answer="", complete=False)
        scores = self.score_round([*cases, *[without] * unfinished])
        return leader - second > unfinished and any(one.passes(threshold) for one in scores)

    def _weights(self, cases: Sequence[Case]) -> list[float]:
        """Return what each answer's vote counts; the largest is 1."""
        if self._votes == "equal":
            return [1.0] * len(cases)
        means = [math.fsum(case.logprobs) / max(1, len(case.logprobs)) for case in cases]
        # Of an answer that was searched, the first tokens' are not known: the others speak for it.
        lengths = [
            1 if self._votes == "perplexity" else max(case.tokens, len(case.logprobs))
            for case in cases
        ]
        totals = [
            mean * length if case.logprobs else -math.inf
            for mean, length, case in zip(means, lengths, cases, strict=True)
        ]
        if all(total == -math.inf for total in totals):
            raise RewardError(
                f"votes={self._votes!r} needs the log-probabilities of answers, got none; use "
                "votes='equal'"
            )
        largest, seen = max(totals), set[str]()
        weights: list[float] = []
        for total, case in zip(totals, cases, strict=True):
            again = self._votes == "probability" and case.answer in seen
            weights.append(0.0 if again else math.exp(total - largest))
            seen.add(case.answer)
        return weights
