"""The gradient, a few rows at a time, against the plain formula on all of them."""

import pytest
import torch

from latent_agent.backbone import Backbone
from latent_agent.refine import Trial, policy_gradient
from latent_agent.reward import Score
from latent_agent.settings import Settings
from tests.tiny import tiny_model, tiny_tokenizer

HEADS = {
    "llama": "lm_head.weight",
    "gemma2": "model.embed_tokens.weight",
    "granite": "lm_head.weight",
}


def trial(prefix, value):
    return Trial(prefix=tuple(prefix), tokens=(), text="", score=Score(value=value), finish="stop")


@pytest.mark.parametrize("name", ["llama", "gemma2", "granite"])
@pytest.mark.parametrize("rows", [1, 16, 17, 50])
def test_gradient_equals_the_plain_one(name, rows):
    space = Backbone(tiny_model(name), tiny_tokenizer())
    draw = torch.Generator().manual_seed(rows)
    z = torch.randn(rows, 32, generator=draw)
    settings = Settings(temperature=0.7, samples=3, reward_offset=1.0)
    lengths = [rows, rows, max(1, rows - 20)]  # the last one ended with a stop token
    values = [-0.25, -1.0, -0.75]
    trials = [
        trial(torch.randint(0, 600, (length,), generator=draw).tolist(), value)
        for length, value in zip(lengths, values, strict=True)
    ]

    whole = z.clone().double().requires_grad_()
    head = space.model.get_parameter(HEADS[name]).double()
    logits = whole @ head.T
    if name == "gemma2":
        logits = torch.tanh(logits / 5.0) * 5.0
    if name == "granite":
        logits = logits / 4.0
    log_pi = (logits / 0.7).log_softmax(-1)
    parts = [
        (value + 1.0) * log_pi[range(length), list(one.prefix)].sum()
        for one, length, value in zip(trials, lengths, values, strict=True)
    ]
    torch.stack(parts).mean().backward()

    gradient = policy_gradient(z, trials, space, settings)
    assert gradient.shape == z.shape
    torch.testing.assert_close(gradient.double(), whole.grad, rtol=1e-4, atol=1e-5)


def test_no_more_than_a_few_rows_of_logits_are_held():
    held = []

    class Space(Backbone):
        def logits(self, latents, tokens=None):
            held.append(len(latents))
            return super().logits(latents, tokens)

    space = Space(tiny_model(), tiny_tokenizer())
    z = torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    policy_gradient(z, [trial([1] * 200, -1.0)], space, Settings())
    assert sum(held[-25:]) == 200
    assert max(held) <= 8
