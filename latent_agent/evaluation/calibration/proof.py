"""LatentSeek by a reward that needs no truth, on questions that chose neither it nor its threshold.

Done only where LatentSeek finds any right answer with the truth for a judge: else there is nothing
to prove.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from latent_agent.evaluation.calibration.scoring import Compared
from latent_agent.evaluation.calibration.searching import Costs, Searched
from latent_agent.evaluation.pool_file import PooledQuestion
from latent_agent.evaluation.reward_figures import figures, halves
from latent_agent.evaluation.statistics import Comparison, Estimate, compare, estimate
from latent_agent.reward import Reward


@dataclass(frozen=True, kw_only=True)
class BestJudge:
    """An absolute reward, and the questions that it was not chosen on.

    Attributes:
        reward: Its name.
        threshold: Above it answers are accepted.
        unseen: Places of those questions.
    """

    reward: str
    threshold: float
    unseen: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Proof:
    """LatentSeek by a reward.

    Attributes:
        reward: Its name.
        threshold: Above it answers are accepted.
        questions: How many were searched.
        right: Share of right answers.
        gain: That less the plain answer.
        rounds: Rounds, in the mean.
        most: Rounds of the longest search.
        seconds: What a call takes, in plain answers.
        tokens: What it forwards, in plain answers.
    """

    reward: str
    threshold: float
    questions: int
    right: Estimate
    gain: Comparison
    rounds: float
    most: int
    seconds: float
    tokens: float


def judges(rewards: Mapping[str, Reward], by_reward: Compared) -> BestJudge | None:
    """Return the reward that ranks best on the half that thresholds are found on; None: none is.

    A relative reward says nothing of a lone draft; one that is no objective is never ascended.
    """
    seen, unseen = halves(len(by_reward.asked))
    rights = [by_reward.rights[place] for place in seen]
    ranked: list[tuple[float, BestJudge]] = []
    for name, known in by_reward.figures.items():
        reward = rewards[name]
        if reward.relative or not reward.objective or known.threshold != known.threshold:
            continue
        ones = [by_reward.rows[place][name] for place in seen]
        scores = [one.at(len(right)) for one, right in zip(ones, rights, strict=True)]
        within = figures(rights, scores).within.mean
        if within == within:
            judge = BestJudge(reward=name, threshold=known.threshold, unseen=unseen)
            ranked.append((within, judge))
    return max(ranked, key=lambda pair: pair[0])[1] if ranked else None


def proof_of(
    judge: BestJudge, searched: Sequence[Searched], asked: Sequence[PooledQuestion], plain: Costs
) -> Proof | None:
    """Return what LatentSeek by a reward gains; None: there was no time."""
    if not searched:
        return None
    drafts = {one.key: float(one.answers[0].right) for one in asked}
    right = [float(one.right) for one in searched]
    return Proof(
        reward=judge.reward,
        threshold=judge.threshold,
        questions=len(searched),
        right=estimate(right, share=True),
        gain=compare(right, [drafts[one.key] for one in searched]),
        rounds=fmean([one.rounds for one in searched]),
        most=max(one.rounds for one in searched),
        seconds=fmean([one.seconds for one in searched]) / plain.seconds,
        tokens=fmean([one.tokens for one in searched]) / plain.tokens,
    )
