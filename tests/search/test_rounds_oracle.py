"""Rounds of several candidates against the plain method that tries the same ones one by one."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch

from latent_agent.call.agent import LatentAgent
from latent_agent.model.conversation import Turn
from latent_agent.model.registry import SharedModel
from latent_agent.reward import ExactMatch, Reward, SelfReward
from latent_agent.search.line import Line
from latent_agent.settings import settings_for
from latent_agent.teaching import questions
from tests.support.plain_latentseek import PlainLM
from tests.support.plain_rounds import Places, plain_rounds

pytestmark = pytest.mark.timeout(600)  # the plain method is slow by design
QUESTIONS = questions("test", n=24, seed=11)
TRUTHS = {question.text: question.truth for question in QUESTIONS}
SETTINGS: Mapping[str, tuple[Reward, Mapping[str, Any]]] = {
    "each goes on": (ExactMatch(TRUTHS), {"width": 5, "max_iterations": 2}),
    "the best goes on": (
        SelfReward(strict=True, verdict="logits"),
        {"width": 4, "onward": "best", "max_iterations": 3},
    ),
    "sampled drafts": (
        ExactMatch(TRUTHS),
        {"drafts": 3, "draft_temperature": 0.4, "width": 3, "max_iterations": 1},
    ),
    "a whole prefix": (
        ExactMatch(TRUTHS),
        {"recipe": "latentseek", "width": 4, "max_iterations": 2, "learning_rate": 0.1},
    ),
    "sampled answers": (
        SelfReward(verdict="logits"),
        {"width": 2, "samples": 2, "temperature": 1.0, "max_iterations": 2, "onward": "best"},
    ),
}


steps: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
"""Where each line stood before a step of the engine's search, and the places that it led to."""


@pytest.fixture(autouse=True)
def _noted(monkeypatch: pytest.MonkeyPatch) -> None:
    step = Line.step

    def noting(line: Line, count: int) -> list[Line]:
        ahead = step(line, count)
        assert 1 <= len(ahead) <= count
        steps.append((line.z.clone(), [one.z.clone() for one in ahead]))
        return ahead

    monkeypatch.setattr(Line, "step", noting)


def checked(lm: PlainLM) -> Places:
    """Take the engine's places, once they are seen to lie along the plain method's step."""

    def along(z: torch.Tensor, stepped: torch.Tensor, count: int) -> list[torch.Tensor]:
        before, places = steps.pop(0)
        assert before == pytest.approx(z, abs=1e-3)
        ours, theirs = (places[0] - before).flatten(), (stepped - z).flatten()
        # Where the model is all but sure, gradients are rounding, and Adam steps as far as ever.
        assert torch.cosine_similarity(ours, theirs, dim=0) > 0.5
        said = [tuple(lm.head(place).argmax(-1).tolist()) for place in places]
        assert len(set(said)) == len(said) <= count
        far = [float((place - before).flatten() @ ours) for place in places]
        assert far == sorted(far)
        return places

    return along


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("each goes on", 4),
        *(pytest.param(name, len(QUESTIONS), marks=pytest.mark.slow) for name in SETTINGS),
    ],
)
def test_rounds_equal_the_candidates_one_by_one(
    name: str, count: int, shared: SharedModel, plain_model: tuple[Any, Any]
) -> None:
    reward, given = SETTINGS[name]
    chosen: dict[str, Any] = {"max_tokens": 40, "seed": 3, **given}
    settings = settings_for(chosen.pop("recipe", "default"), **chosen)
    agent = LatentAgent(shared, settings, reward)
    lm = PlainLM(*plain_model, shared.judge_prompts)
    searched = several = 0
    for question in QUESTIONS[:count]:
        steps.clear()
        outcome = agent.answer([Turn("user", question.text)])
        tokens, rewards, rounds = plain_rounds(lm, reward, settings, question.text, checked(lm))
        assert not steps
        assert outcome.text == lm.text(tokens)
        assert outcome.answer_tokens == len(tokens)
        assert [list(one) for one in outcome.rewards] == [pytest.approx(one) for one in rewards]
        assert outcome.iterations == rounds
        searched += rounds > 0
        several += any(len(one) > 1 for one in rewards)
    assert min(searched, several) >= count / 5  # otherwise the comparison would say little
