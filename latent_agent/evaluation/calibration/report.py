"""What a calibration comes to: in words, in figures, and what is kept of it."""

import math
from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from latent_agent.call.recipes.saved import Interval, KeptReward, SavedRecipe
from latent_agent.evaluation.calibration.choosing import shown
from latent_agent.evaluation.calibration.evidence import Evidence
from latent_agent.evaluation.calibration.request import LEAST
from latent_agent.evaluation.calibration.scoring import rights_of
from latent_agent.evaluation.reward_figures import Figures
from latent_agent.evaluation.statistics import Estimate, estimate
from latent_agent.model.registry import SharedModel
from latent_agent.reward import Reward
from latent_agent.reward.rebuild import reward_from_id

_PACKAGES = ("latent-agent", "torch", "transformers", "math-verify")


def problem(found: Evidence) -> str:
    """Say why nothing can be recommended."""
    answers = [right for row in rights_of(found.sampled) for right in row]
    asked, samples = len(found.compared.asked), found.request.samples
    several = f"{len(answers)} answers to {len(found.sampled)} questions"
    if asked < LEAST:
        return (
            f"Nothing is recommended: {asked} of {found.wanted} questions were answered and "
            f"scored in {found.request.minutes:g} minutes, and {LEAST} are needed. The same "
            "command goes on where it ended; or give more --minutes, or fewer --max-tokens."
        )
    if all(answers):
        return (
            f"Nothing is recommended: all {several} are right, so there is nothing to gain on "
            "these; give harder questions."
        )
    if not any(answers):
        return (
            f"Nothing is recommended: all {several} are wrong, so no reward has a right one to "
            "find. Give easier questions or a better model, or see in pool.jsonl whether "
            "answers are cut off (--max-tokens), or state their end otherwise than the truth "
            "(--ending, --check)."
        )
    return (
        f"Nothing is recommended: there was no time to time a round of {samples + 1} answers; the "
        "same command goes on where it ended."
    )


def text(found: Evidence) -> str:
    """Say in plain words what is recommended, and how well it is shown."""
    way, asked = found.recommended(), len(found.compared.asked)
    if way is None:
        return problem(found)
    limit = f"within {found.request.budget:g} times the time of a plain answer"
    gained = f"{_points(way.gain.difference)} points over the plain answer"
    if way.search == "samples":
        return (
            f"Recommended: a round of {way.settings['drafts']} answers, the best taken by "
            f"{way.reward}: {gained}, {way.seconds:.1f} times its time and "
            f"{way.tokens:.1f} times its tokens. Each of {asked} questions is counted by "
            f"what was chosen on the others, in five folds.{_beside(found)}"
        )
    if way.search == "latentseek":
        assert found.proof is not None
        return (
            f"Recommended: LatentSeek as published by {way.reward}, "
            f"{way.settings['max_iterations']} rounds: {gained}, {way.seconds:.1f} times "
            f"its time, on {found.proof.questions} questions that chose neither reward nor "
            "threshold."
        )
    choice = found.choice()
    best = "no reward's best answers are right more often"
    if choice.best is not None:
        best = (
            f"{choice.best.width} answers by {choice.best.reward} come nearest, with "
            f"{_points(choice.gain.difference)} points where it was not chosen (better on "
            f"{choice.gain.better}, worse on {choice.gain.worse}, p = {choice.gain.p:.2g})"
        )
    elif all(found.plain):
        best = "all plain answers are right"
    elif not found.candidates():
        best = "no round of answers and its judging takes so little"
    return (
        f"Recommended: the plain answer. Not shown that anything is better {limit} on {asked} "
        f"questions: {best}. More questions, or a larger --budget, may show more."
        f"{_beside(found)}"
    )


def _beside(found: Evidence) -> str:
    """Say what LatentSeek came to beside samples."""
    if found.solved is None:
        return ""
    one = found.solved
    better = "" if shown(one.difference) else "; that it does better is not shown"
    said = (
        f" With the truth for a judge LatentSeek puts {_percent(one.latentseek)} of "
        f"{one.questions} wrong answers right in that time, {one.width} samples "
        f"{_percent(one.samples)}{better}."
    )
    if found.proof is None:
        tried = " There was no reward, or no time, to try it without the truth."
        return said + (tried if one.latentseek.mean else "")
    gain = found.proof.gain
    return (
        f"{said} By {found.proof.reward} it gains {_points(gain.difference)} points over the plain "
        f"answer on {found.proof.questions} questions{'' if shown(gain) else ', not shown'}."
    )


def figures(found: Evidence) -> dict[str, Any]:
    """Return all figures as plain values."""
    recommended, answers = found.recommended(), [a for o in found.sampled for a in o.answers]
    rights = found.compared.rights
    return {
        "model": found.pool["model"],
        "data": found.request.data,
        "wanted": found.wanted,
        "sampled": len(found.sampled),
        "scored": len(found.compared.asked),
        "answers": len(answers),
        "cut_off": sum(not one.whole for one in answers),
        "budget": found.request.budget,
        "minutes": found.request.minutes,
        "late": found.late,
        "draft": asdict(estimate([float(row[0]) for row in rights], share=True)),
        "any": asdict(estimate([float(any(row)) for row in rights], share=True)),
        "rewards": {
            name: {"id": found.rewards[name].id, **asdict(one)}
            for name, one in found.compared.figures.items()
        },
        "failed": dict(found.compared.failed),
        "costs": None if found.costs is None else asdict(found.costs),
        "searches": None if found.solved is None else asdict(found.solved),
        "proof": None if found.proof is None else asdict(found.proof),
        "recommended": None if recommended is None else asdict(recommended),
        "recommendation": text(found),
    }


def saved(found: Evidence, model: SharedModel) -> SavedRecipe | None:
    """Return what is kept of it; None: nothing is recommended.

    Raises:
        RewardError: If the reward cannot be built again in another process.
    """
    way = found.recommended()
    if way is None:
        return None
    if way.reward is not None:
        reward_from_id(found.rewards[way.reward].id)
    return SavedRecipe(
        fingerprint=found.pool["fingerprint"],
        model=model.name,
        engine=found.pool["engine"],
        dtype=found.pool["dtype"],
        versions={name: version(name) for name in _PACKAGES},
        made=datetime.now(UTC),
        data=found.request.data,
        ending=found.request.ending,
        questions=len(found.compared.asked),
        budget=found.request.budget,
        search=way.search,
        reward=way.reward,
        settings=way.settings,
        rewards={
            name: _kept(found.rewards[name], one) for name, one in found.compared.figures.items()
        },
        draft=_interval(estimate([float(one) for one in found.plain], share=True)),
        right=_interval(way.right),
        gain=_interval(way.gain.difference),
        seconds=way.seconds,
        tokens=way.tokens,
    )


def _kept(reward: Reward, found: Figures) -> KeptReward:
    return KeptReward(
        id=reward.id,
        threshold=_known(found.threshold),
        agrees=_interval(found.agrees),
        within=_interval(found.within),
        best=_interval(found.best),
    )


def _interval(one: Estimate) -> Interval:
    return Interval(mean=_known(one.mean), low=_known(one.low), high=_known(one.high))


def _known(value: float) -> float | None:
    """Return a number; JSON has none that is not."""
    return None if math.isnan(value) else value


def _points(one: Estimate) -> str:
    return f"{100 * one.mean:+.1f} [{100 * one.low:.1f}, {100 * one.high:.1f}]"


def _percent(one: Estimate) -> str:
    return f"{one.mean:.0%} [{one.low:.0%}, {one.high:.0%}]"
