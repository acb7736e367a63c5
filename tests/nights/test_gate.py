"""The gate: it searches as calls do, asks what no training read, and counts its own attempts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latent_agent.call.agent import LatentAgent
from latent_agent.call.stored_call import StoredCall
from latent_agent.model.conversation import Turn
from latent_agent.nights.gate import GateSettings
from latent_agent.nights.night import consolidate
from latent_agent.nights.replay import Replayer
from latent_agent.recall.active_prior import ActivePrior
from latent_agent.recall.prior_checkpoint import load_prior
from latent_agent.recall.prior_network import LatentPrior, PriorShape
from latent_agent.recall.types import CallMemory, Recalled
from latent_agent.recall.warm_start import WarmStart
from latent_agent.reward import Case, Reward, Score
from latent_memory import LatentMemory, Trace
from latent_memory.priors.nights import Result, begin_night, end_night, list_nights
from tests.support.night_world import (
    SEARCH,
    SETTINGS,
    day,
    job,
    model,
    open_at,
    right,
    shelf_of,
    trace_for,
    wrong_trace_for,
)


class Recorded(Reward):
    """Scores as ``right`` does, or never accepts, and notes what it was asked."""

    deterministic = True

    def __init__(self, *, accept: bool = True) -> None:
        self._accept = accept
        self.cases: list[tuple[str, str]] = []

    @property
    def id(self) -> str:
        return "tests.support.night_world:right"

    def score(self, case: Case) -> Score:
        self.cases.append((case.question, case.answer))
        return Score(value=right(case.question, case.answer) if self._accept else -1.0)

    @property
    def asked(self) -> set[str]:
        return {question for question, _ in self.cases}


# ------------------------------------------------------------------------ the same search


class Guess(CallMemory):
    """A chat's memory that holds nothing but a prior."""

    def __init__(self, prior: ActivePrior) -> None:
        self._guess = prior

    def recall(self, call) -> Recalled:
        embedding = call.writer.embed()
        call.writer.opening()
        latents = self._guess.correct(embedding, call.writer.base())
        return Recalled(warm_starts=[WarmStart(latents=latents, source="prior")])


def prior_of(positions: int) -> ActivePrior:
    width = model().width
    network = LatentPrior(PriorShape(positions=positions, width=width, embedding=width, hidden=8))
    torch.nn.init.normal_(network.out.weight, generator=torch.Generator().manual_seed(3))
    return ActivePrior(version="1", network=network.eval())


@pytest.mark.parametrize("positions", [1, 2, 4])
def test_a_replay_searches_as_many_latents_as_a_call(positions: int) -> None:
    """Whatever N its prior has."""
    search = replace(SEARCH, prefix_tokens=2, max_iterations=6, learning_rate=2.0)
    prior, asked = prior_of(positions), "Item 7 is blue."
    here, there = Recorded(accept=False), Recorded(accept=False)
    outcome = LatentAgent(model(), search, here, Guess(prior)).answer([Turn("user", asked)])
    replay = Replayer(model=model(), settings=search, reward=there).replay(
        StoredCall.question(asked), prior
    )
    assert here.cases == there.cases
    assert replay.forwarded == sum(outcome.forwarded_tokens.values())


# --------------------------------------------------------------- questions for the gate alone


def test_what_the_gate_asks_decides_nothing_before_it(tmp_path: Path) -> None:
    """Neither the weights nor when training ends."""
    with open_at(tmp_path / "first") as memory:
        reward = Recorded()
        shelf = shelf_of(reward)
        consolidate(job(memory, day(memory), reward=reward, settings=every_question()))
        before, _ = load_prior(memory.database.files, "1.safetensors")

    def changed(question: str, _: object) -> Trace:
        make = wrong_trace_for if question in reward.asked else trace_for
        return make(question, shelf)

    with open_at(tmp_path / "second") as memory:
        report = consolidate(job(memory, day(memory, make=changed), settings=every_question()))
        after, _ = load_prior(memory.database.files, "1.safetensors")
    assert len(reward.asked) > 15
    assert report.figures["gate"]["questions"] == len(reward.asked)
    for name, weights in before.weights().items():
        assert torch.equal(weights, after.weights()[name])


def every_question():
    return replace(SETTINGS, gate=GateSettings(calls=10_000))


@pytest.mark.slow
def test_another_night_asks_other_questions_unless_a_seed_is_given(memory: LatentMemory) -> None:
    def asked_by(seed: int | None) -> set[str]:
        shelf, reward = day(memory, 4, start=next(fresh)), Recorded()
        settings = replace(SETTINGS, seed=seed, gate=GateSettings(calls=20))
        consolidate(job(memory, shelf, reward=reward, settings=settings))
        return reward.asked

    fresh = iter(range(1000, 2000, 4))
    day(memory, 300, make=wrong_trace_for)  # nothing is published, so all nights ask alike
    first, second, again = asked_by(None), asked_by(None), asked_by(None)
    assert len({frozenset(one) for one in (first, second, again)}) == 3
    assert [night.seed for night in list_nights(memory.database)] == [3, 2, 1]
    assert len(asked_by(7) & asked_by(7)) >= 8  # but for the new ones


# ---------------------------------------------------------------------------- many nights


def refused_before(memory: LatentMemory, shelf, count: int, *, judged: bool = True) -> None:
    """Nights that published nothing."""
    for _ in range(count):
        night = begin_night(memory.database, shelf, seed=0, inputs={})
        gate = {"chance": {"neither": 0.5}} if judged else {}
        result = Result(verdict="refused", reason="chance", seconds=1.0, gate=gate)
        end_night(memory.database, night, result)


@pytest.mark.parametrize(
    ("nights", "judged", "verdict"),
    [(0, True, "published"), (4, True, "refused"), (4, False, "published")],
)
def test_each_night_without_a_publication_makes_the_next_one_stricter(
    memory: LatentMemory, nights: int, judged: bool, verdict: str
) -> None:
    """Of eight questions all save steps: p = 1/256."""
    shelf = day(memory)
    refused_before(memory, shelf, nights, judged=judged)
    settings = replace(SETTINGS, gate=GateSettings(calls=16))
    report = consolidate(job(memory, shelf, settings=settings))
    assert report.figures["gate"]["chance"]["neither"] == 1 / 256
    assert report.verdict == verdict
    if verdict == "refused":
        assert (
            "p = 0.0039, and 0.0012 is the most in judged night 5 since the last" in report.reason
        )
        assert consolidate(job(memory, day(memory, 4, start=900))).verdict == "published"


def test_all_nights_together_publish_by_chance_as_seldom_as_one_was_meant_to() -> None:
    settings = GateSettings()
    levels = [settings.level(number) for number in range(1, 5000)]
    assert levels == sorted(levels, reverse=True)
    assert 0.99 * settings.significance < sum(levels) < settings.significance


def test_a_publication_begins_the_count_anew(memory: LatentMemory) -> None:
    shelf = day(memory, colours=("red", "blue"))
    refused_before(memory, shelf, 3)
    first = consolidate(job(memory, shelf))
    assert (first.verdict, first.figures["gate"]["attempt"]) == ("published", 4)
    day(memory, start=200, colours=("green", "black"))
    second = consolidate(job(memory, shelf))
    assert second.figures["gate"]["attempt"] == 1
    assert second.figures["gate"]["level"] == pytest.approx(0.0304, abs=1e-4)


def test_replays_at_once_are_those_of_one_after_the_other(tmp_path: Path) -> None:
    figures: list[Any] = []
    for most in (1, 6):
        with open_at(tmp_path / str(most)) as memory:
            report = consolidate(job(memory, day(memory), at_once=most))
            figures.append((report.verdict, report.reason, report.figures["gate"]))
    assert figures[0] == figures[1]
    assert figures[0][0] == "published"
