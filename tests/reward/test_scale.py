"""A verdict on a scale, read from the bundled model's logits."""

import pytest
import torch

from latent_agent import ChatLatentSeek, ScaleReward
from latent_agent.errors import RewardError
from latent_agent.model.budget import Budget
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.model.registry import open_model
from latent_agent.reward import Case
from latent_agent.reward.judge_prompts import DEFAULT_PROMPTS, fill
from latent_agent.reward.rebuild import reward_from_id
from latent_agent.reward.self_judge import SelfJudge

QUESTION = "Each day Eva counts 6 birds. How many birds is that after 7 days?"


def test_scores_are_the_mean_over_the_steps_own_logits() -> None:
    """The oracle: one prompt at a time, the whole vocabulary's softmax, the steps' share of it."""
    model = open_model("bundled")
    engine = model.engine()
    judge = SelfJudge(engine, Budget())
    steps = "123456789" if judge.tells_apart(list("123456789")) else "ABCDEFGHI"
    texts = ["6 * 7 = 42. The answer is 42.", "The answer is 13.", "no"]
    cases = [
        Case(question=QUESTION, answer=text, conversation=QUESTION, judge=judge) for text in texts
    ]
    together = [score.value for score in ScaleReward().score_round(cases)]
    apart = [ScaleReward().score(case).value for case in cases]
    assert together == pytest.approx(apart, abs=1e-4)
    prompt = DEFAULT_PROMPTS.scale.replace("{worst}", steps[0]).replace("{best}", steps[-1])
    for text, value in zip(texts, together, strict=True):
        ids = encode_chat(model.tokenizer, [Turn("user", fill(prompt, QUESTION, text))], (), {})
        logits = engine.sequence(Budget()).next_logits([ids], "judge")[0]
        tokens = [model.tokenizer.encode(step, add_special_tokens=False)[0] for step in steps]
        spaced = [model.tokenizer.encode(f" {step}", add_special_tokens=False)[0] for step in steps]
        if len(set(spaced)) == len(steps):
            best = torch.maximum(logits[tokens], logits[spaced])
        else:
            best = logits[tokens]
        expected = float(best.double().softmax(0) @ torch.linspace(0, 1, 9, dtype=torch.float64))
        assert value == pytest.approx(expected - 1, abs=1e-4)


class Letters:
    """A judge whose tokenizer has no single digits; it likes the best step."""

    prompts = None

    def __init__(self, known: str) -> None:
        self._known = known
        self.asked = []

    def tells_apart(self, words) -> bool:
        return all(word in self._known for word in words)

    def ask(self, requests) -> list[str]:
        self.asked += requests
        return ["1.0" for _ in requests]


def test_letters_stand_in_for_digits_and_nothing_for_neither() -> None:
    judge = Letters("ABCDEFGHI")
    score = ScaleReward().score(Case(question="q", answer="a", judge=judge))
    assert score.value == 0
    assert judge.asked[0].choices == tuple("ABCDEFGHI")
    assert "from A (surely wrong) to I" in judge.asked[0].prompt
    with pytest.raises(RewardError, match="single tokens"):
        ScaleReward().score(Case(question="q", answer="a", judge=Letters("")))


def test_the_final_alone_is_shown_where_that_is_asked_for() -> None:
    judge = Letters("123456789")
    cases = [
        Case(question="q", answer="Long talk.\nThe answer is 7.", judge=judge),
        Case(question="q", answer="", judge=judge),
    ]
    values = [score.value for score in ScaleReward(final_only=True).score_round(cases)]
    assert values == [0, -1]
    (asked,) = judge.asked
    assert "### Answer\n7\n" in asked.prompt
    assert "Long talk" not in asked.prompt


def test_a_threshold_that_was_calibrated_ends_a_call() -> None:
    chat = ChatLatentSeek(
        model="bundled", memory=None, max_tokens=60, max_iterations=1,
        reward=ScaleReward(threshold=-0.999),
    )  # fmt: skip
    ours = chat.invoke(QUESTION).response_metadata["latent_agent"]
    assert ours["stopped"] == "threshold"
    assert len(ours["rewards"]) == 1


def test_a_night_builds_it_again_from_its_id() -> None:
    reward = ScaleReward(final_only=True)
    assert reward_from_id(reward.id).id == reward.id
