"""The gate: a prior is published only if it saves steps and costs no reward, beyond chance.

The candidate, the champion and no prior at all answer the same questions, which no training read.
Against each rival the candidate must need fewer steps by a stated margin, and a paired test must
rule chance out; its mean reward must not be lower, beyond a small tolerance. Known answers, if an
operator gave any, must be right as often as without it.

Nights are many, and each that is judged is another chance to pass by luck. So the k-th since the
last publication is held to ``6 / (pi k)^2`` of the significance: these shares sum to 1.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from latent_agent.call.parallel import in_parallel
from latent_agent.call.stored_call import StoredCall
from latent_agent.nights.regression_set import Anchor, right
from latent_agent.nights.replay import Replay, Replayer
from latent_agent.nights.watch import Halt
from latent_agent.recall.active_prior import ActivePrior
from latent_memory.priors.nights import PUBLISHED, UNJUDGED

REFUSED = "refused"
CANDIDATE, CHAMPION, NEITHER = "candidate", "champion", "neither"
Contestants = Mapping[str, ActivePrior | None]
Seen = Callable[[Replay | None], None]
"""Takes each replay, or None for one that was known before; what it raises ends the gate."""


@dataclass(frozen=True, kw_only=True)
class GateSettings:
    """What a candidate must show.

    Attributes:
        calls: Replays of held-out questions at most, shared by all contestants.
        least: Held-out questions without which nothing is published.
        fewer: Share of a rival's steps that a candidate must save.
        tolerance: By how much its mean reward may be lower.
        significance: Largest probability that chance alone publishes a prior, in all nights from
            one publication to the next together.
    """

    calls: int = 180
    least: int = 8
    fewer: float = 0.1
    tolerance: float = 0.02
    significance: float = 0.05

    def level(self, attempt: int) -> float:
        """Return the largest p that publishes at an attempt, counted from 1."""
        return self.significance * 6 / (math.pi * attempt) ** 2


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The gate's decision: whether to publish, why, and the figures behind it.

    ``word`` is ``published``, ``refused`` or ``unjudged``: there was no way to judge.
    """

    word: str
    reason: str
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])


def judge(
    replayer: Replayer,
    contestants: Contestants,
    questions: Sequence[StoredCall],
    anchors: Sequence[Anchor],
    settings: GateSettings,
    seen: Seen = lambda _replay: None,
    attempt: int = 1,
    known: dict[str, Replay] | None = None,
) -> Verdict:
    """Let the contestants answer, and decide about the candidate.

    Args:
        replayer: Model, search settings and reward.
        contestants: Priors by name; ``candidate`` among them.
        questions: Questions that no training read.
        anchors: Known answers.
        settings: What the candidate must show.
        seen: Given each replay.
        attempt: Which judged night this is since the last one that published, from 1.
        known: Replays that are not made again, and where others are put; texts of anchors alone.

    Raises:
        CallCancelled: If the replayer is stopped.
        RewardError: If the reward fails.
    """
    if len(questions) < settings.least:
        return Verdict(
            word=UNJUDGED,
            reason=f"{len(questions)} questions that can be asked again are too few to judge by; "
            f"{settings.least} are needed",
        )
    known = {} if known is None else known
    stage = partial(_replay_all, replayer, contestants, seen=seen, known=known)
    replays = stage(questions)
    sayings = stage([anchor.asked for anchor in anchors], anchored=True)
    known_right = {
        name: right(anchors, [row.text for row in rows]) for name, rows in sayings.items()
    }
    figures: dict[str, Any] = {
        "questions": len(questions),
        "anchors": {"questions": len(anchors), "right": known_right},
        "contestants": {name: _means(rows) for name, rows in replays.items()},
        "chance": {
            name: chance([rival.steps - own.steps for rival, own in _pairs(replays, name)])
            for name in contestants
            if name != CANDIDATE
        },
        "attempt": attempt,
        "level": settings.level(attempt),
        "settings": asdict(settings),
    }
    reason = next(filter(None, (_objection(name, figures, settings) for name in known_right)), "")
    if reason:
        return Verdict(word=REFUSED, reason=reason, figures=figures)
    return Verdict(word=PUBLISHED, reason=_praise(figures), figures=figures)


def chance(savings: Sequence[int]) -> float:
    """Return the probability that random signs save as much: a paired permutation test, exact.

    Args:
        savings: Steps saved in each pair, of either sign.
    """
    # By hand: SciPy's permutation_test would be a large dependency for these few lines.
    sums: Counter[int] = Counter({0: 1})
    moved = [abs(saving) for saving in savings if saving]
    for size in moved:
        grown: Counter[int] = Counter()
        for total, ways in sums.items():
            grown[total + size] += ways
            grown[total - size] += ways
        sums = grown
    reached = sum(ways for total, ways in sums.items() if total >= sum(savings))
    return reached / 2 ** len(moved)


def _replay_all(
    replayer: Replayer,
    contestants: Contestants,
    questions: Sequence[StoredCall],
    *,
    seen: Seen,
    known: dict[str, Replay],
    anchored: bool = False,
) -> dict[str, list[Replay]]:
    cancelled = Halt(replayer.stop)

    def ask(key: str, question: StoredCall, prior: ActivePrior | None) -> Replay:
        replay = replayer.replay(question, prior, cancelled)
        # At once, since others that were asked before may still be at it when the night is stopped.
        # What users were answered is not kept.
        known[key] = replay if anchored else replace(replay, text="")
        return replay

    jobs: dict[str, Callable[[], Replay]] = {}
    keys: list[str] = []
    for question in questions:
        mark = hashlib.sha256(repr(question).encode()).hexdigest()[:32]
        for name, prior in contestants.items():
            keys.append(f"{'anchor' if anchored else 'question'} {mark} {name}")
            jobs[keys[-1]] = partial(ask, keys[-1], question, prior)
    new = [key for key in jobs if key not in known]
    for _ in range(len(jobs) - len(new)):
        seen(None)
    wanted = (jobs[key] for key in new)
    with closing(in_parallel(wanted, replayer.at_once, cancelled)) as replayed:
        for replay in replayed:
            seen(replay)
    rows = [known[key] for key in keys]
    return {name: rows[place :: len(contestants)] for place, name in enumerate(contestants)}


def _pairs(replays: Mapping[str, Sequence[Replay]], rival: str) -> list[tuple[Replay, Replay]]:
    return list(zip(replays[rival], replays[CANDIDATE], strict=True))


def _means(rows: Sequence[Replay]) -> dict[str, float]:
    return {
        "steps": sum(row.steps for row in rows) / len(rows),
        "reward": sum(row.reward for row in rows) / len(rows),
        "accepted": sum(row.accepted for row in rows) / len(rows),
        "at_once": sum(row.accepted and not row.steps for row in rows) / len(rows),
        "forwarded_tokens": sum(row.forwarded for row in rows) / len(rows),
    }


def _objection(rival: str, figures: Mapping[str, Any], settings: GateSettings) -> str | None:
    """Say what speaks against the candidate in comparison with a rival, if anything does."""
    if rival == CANDIDATE:
        return None
    own, other = figures["contestants"][CANDIDATE], figures["contestants"][rival]
    name = "no prior" if rival == NEITHER else "the champion"
    known = figures["anchors"]["right"]
    if known[CANDIDATE] < known[rival]:
        return f"{known[CANDIDATE]} anchors right, {known[rival]} with {name}"
    if own["reward"] < other["reward"] - settings.tolerance:
        return f"mean reward {own['reward']:.3f}, {other['reward']:.3f} with {name}"
    if own["steps"] >= (1 - settings.fewer) * other["steps"]:
        return f"{own['steps']:.2f} steps a question, {other['steps']:.2f} with {name}"
    if (p := figures["chance"][rival]) > (level := figures["level"]):
        return (
            f"{own['steps']:.2f} steps a question, {other['steps']:.2f} with {name}, which may be "
            f"chance (p = {p:.2g}, and {level:.2g} is the most in judged night "
            f"{figures['attempt']} since the last publication)"
        )
    return None


def _praise(figures: Mapping[str, Any]) -> str:
    means = figures["contestants"]
    rivals = [f"{means[NEITHER]['steps']:.2f} with no prior"]
    if CHAMPION in means:
        rivals.append(f"{means[CHAMPION]['steps']:.2f} with the champion")
    return f"{means[CANDIDATE]['steps']:.2f} steps a question, {', '.join(rivals)}"
