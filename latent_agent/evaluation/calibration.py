"""How well a model judges itself, and whether to let it: read from judged samples."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from latent_agent.evaluation.records import Point, Record
from latent_agent.evaluation.reward_figures import Figures
from latent_agent.evaluation.reward_figures import figures as figures_of
from latent_agent.evaluation.statistics import compare, estimate, ratio
from latent_agent.reward import Case
from latent_agent.reward.by_name import BUILT_IN

_FREE = ("agreement", "equations")  # rewards of the answers' texts alone
_LITTLE = 0.02  # of accuracy: too little to be worth a judge
_CHANCE, _SURE = 0.05, 1.96  # of a sign test: its p, and the standard deviations of that
_ROOMLESS = 22  # questions: where none of so many shows room, a 95% interval ends below 15%
_MANY = 0.15  # of wrong answers accepted: a search often ends on a wrong one


def calibrate(records: Sequence[Record]) -> dict[str, Any]:
    """Return how verdicts compare with the truth, and best-of-N by either.

    Args:
        records: Of the method ``judged-samples``: each answer with what the judge said of it.
    """
    known = [record for record in records if judged(record)]
    drafts = [float(judged(record)[0].right) for record in known]
    chosen = [float(record.right) for record in known]
    best = [float(any(point.right for point in judged(record))) for record in known]
    everything = [point for record in known for point in judged(record)]
    figures: dict[str, Any] = {
        "cut_off": sum(not point.complete for point in everything),
        "rewards": {name: asdict(one) for name, one in free_rewards(known).items()},
        "questions": len(records),
        "failures": len(records) - len(known),
        "answers": sum(len(judged(record)) for record in known),
        "verdict": _verdict(known, lambda point: point.accepted),
        "checks": {
            name: _verdict(known, lambda point, name=name: point.checks[name] > 0.5)
            for name in _checks(known)
        },
        "draft": asdict(estimate(drafts, share=True)),
        "by_judge": asdict(estimate(chosen, share=True)),
        "by_truth": asdict(estimate(best, share=True)),
        "gain": asdict(compare(chosen, drafts)),
        "room": float(np.mean(best) - np.mean(drafts)) if known else 0.0,
    }
    return {**figures, "recommendation": recommend(figures)}


def judged(record: Record) -> list[Point]:
    """Return the answers that the judge was asked about, each different one once."""
    return [point for point in record.points if point.reward is not None and not point.repeated]


def free_rewards(records: Sequence[Record]) -> dict[str, Figures]:
    """Return how rewards that cost nothing rank the answers: an answer cut off counts as wrong."""
    if not records:
        return {}
    answers = [[point for point in one.points if point.reward is not None] for one in records]
    rights = [[point.right and point.complete for point in points] for points in answers]
    found: dict[str, Figures] = {}
    for name in _FREE:
        reward = BUILT_IN[name]()
        scores = [
            [score.value for score in reward.score_round(_cases(record, points))]
            for record, points in zip(records, answers, strict=True)
        ]
        found[name] = figures_of(rights, scores)
    return found


def _cases(record: Record, points: Sequence[Point]) -> list[Case]:
    return [
        Case(question=record.question, answer=point.text, complete=point.complete)
        for point in points
    ]


def _checks(records: Sequence[Record]) -> list[str]:
    return list(
        dict.fromkeys(name for record in records for p in judged(record) for name in p.checks)
    )


def _verdict(records: Sequence[Record], passed: Callable[[Point], bool]) -> dict[str, Any]:
    """Compare one kind of verdict with the truth of the final answer."""

    def share(hit: Callable[[Point], bool], among: Callable[[Point], bool]) -> dict[str, float]:
        asked = [[point for point in judged(record) if among(point)] for record in records]
        hits = [float(sum(map(hit, points))) for points in asked]
        return asdict(ratio(hits, [float(len(points)) for points in asked]))

    return {
        "agreement": share(lambda p: passed(p) == p.right, lambda _: True),
        "false_accepts": share(passed, lambda p: not p.right),
        "false_refusals": share(lambda p: not passed(p), lambda p: p.right),
    }


def recommend(figures: Mapping[str, Any]) -> str:
    """Say in plain words whether to let the model judge itself, as far as the questions show it."""
    gain, room = figures["gain"]["difference"], figures["room"]
    shares = (
        f"judged by itself, best-of-N has {figures['by_judge']['mean']:.1%} right, the draft alone "
        f"{figures['draft']['mean']:.1%}, and with a perfect judge it would be "
        f"{figures['by_truth']['mean']:.1%}"
    )
    if not figures["answers"]:
        return "Nothing can be said: no answer could be judged. See the errors in records.jsonl."
    shown = figures["gain"]["p"] < _CHANCE
    if shown and gain["high"] < 0:
        return (
            f"Leave self-reward off: it makes this model worse ({shares}). Use an outside judge "
            "(JudgeReward), a format (FormatReward), or no search (max_iterations=0)."
        )
    asked = figures["questions"] - figures["failures"]
    if room < _LITTLE and asked >= _ROOMLESS:
        return f"There is little to gain on these questions, with any judge: {shares}."
    if room < _LITTLE or not shown or gain["low"] <= 0:
        return _too_few(figures, asked, shares)
    advice = f"Switch self-reward on: {shares}, which is {gain['mean'] / room:.0%} of the room."
    accepts = figures["verdict"]["false_accepts"]["mean"]
    if accepts > _MANY:
        advice += (
            f" But {accepts:.0%} of the wrong answers are accepted, and end a search: a better "
            "judge would still help."
        )
    return advice


def _too_few(figures: Mapping[str, Any], asked: int, shares: str) -> str:
    """Say that the questions are too few, and how many more would do."""
    better, worse, p = (figures["gain"][name] for name in ("better", "worse", "p"))
    several = "1 question is" if asked == 1 else f"{asked} questions are"
    said = (
        f"Not shown either way: {several} too few ({shares}; of the drafts it fixes {better} and "
        f"spoils {worse}, which may be chance, p = {p:.2g})."
    )
    if better != worse:
        more = max(1, _would_do(better, worse, asked) - asked)
    elif figures["room"] < _LITTLE:
        more = _ROOMLESS - asked
    else:
        return (
            f"{said} So far gains and losses are even: calibrate on several times as many before "
            "you switch self-reward on."
        )
    return (
        f"{said} If all goes on like this, about {more} more would do: --questions "
        f"{figures['questions'] + more}, with another --out."
    )


def _would_do(better: int, worse: int, asked: int) -> int:
    """Return how many questions, with the same shares of both, a sign test would be sure of.

    The normal approximation of that test, with a correction for continuity, solved for the number.
    """
    apart, both = abs(better - worse), better + worse
    half = apart + _SURE**2 * both / 2
    return math.ceil(asked * (half + math.sqrt(half**2 - apart**2)) / apart**2)
