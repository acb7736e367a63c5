"""Each engine against the plain method: the same answers, for far fewer forwarded tokens."""

from statistics import fmean

import pytest

from latent_agent.call.agent import LatentAgent
from latent_agent.model.conversation import Turn
from latent_agent.reward import ExactMatch, SelfReward
from latent_agent.settings import settings_for
from latent_agent.teaching import questions
from tests.support.plain_latentseek import PlainLM, plain_latentseek

pytestmark = pytest.mark.timeout(600)  # the plain method is slow by design
QUESTIONS = questions("test", n=50, seed=11)
TRUTHS = {question.text: question.truth for question in QUESTIONS}
SETTINGS = {
    "default, self-reward": (
        SelfReward(strict=True),
        settings_for("default", rest="kept", max_iterations=1, max_tokens=40),
    ),
    "latentseek, PSRM": (
        ExactMatch(TRUTHS),
        settings_for("latentseek", max_iterations=4, max_tokens=40),
    ),
    "latentevolve, logit verdicts": (
        SelfReward(verdict="logits"),
        settings_for("latentevolve", max_iterations=1, samples=2, max_tokens=40, seed=3),
    ),
}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("default, self-reward", 5),
        *(pytest.param(name, len(QUESTIONS), marks=pytest.mark.slow) for name in SETTINGS),
    ],
)
def test_engine_equals_the_plain_method(name, count, shared, plain_model):
    reward, settings = SETTINGS[name]
    agent = LatentAgent(shared, settings, reward)
    lm = PlainLM(plain_model[0], plain_model[1], shared.judge_prompts)
    searched = 0
    for question in QUESTIONS[:count]:
        tokens, rewards, steps = plain_latentseek(lm, reward, settings, question.text)
        outcome = agent.answer([Turn("user", question.text)])
        assert outcome.text == lm.text(tokens)
        assert outcome.answer_tokens == len(tokens)
        assert [fmean(one) for one in outcome.rewards] == pytest.approx(rewards)
        assert outcome.iterations == steps
        searched += steps > 0
    assert searched >= count / 5  # otherwise the comparison would say little


@pytest.mark.slow
def test_engine_forwards_ten_times_fewer_tokens(shared, plain_model):
    reward = SelfReward(strict=True)
    settings = settings_for("default", rest="kept", max_iterations=10, max_tokens=40)
    agent = LatentAgent(shared, settings, reward)
    lm = PlainLM(plain_model[0], plain_model[1], shared.judge_prompts)
    ours = 0
    for question in QUESTIONS[:7]:
        plain_latentseek(lm, reward, settings, question.text)
        counts = agent.answer([Turn("user", question.text)]).forwarded_tokens
        ours += sum(counts.values())
    assert lm.forwarded >= 10 * ours
