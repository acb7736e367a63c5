"""The gradient, a few rows at a time, against the plain formula on all of them."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from latent_agent.model.logits_mask import FREE
from latent_agent.model.sampling import Sampler
from latent_agent.model.transformers_engine.engine import TransformersEngine, head_of
from latent_agent.reward import Score
from latent_agent.search.policy_gradient import policy_gradient
from latent_agent.search.types import Trial
from latent_agent.settings import Settings
from tests.support.tiny import tiny_model, tiny_tokenizer

HEADS = {
    "llama": "lm_head.weight",
    "gemma2": "model.embed_tokens.weight",
    "granite": "lm_head.weight",
    "cohere": "model.embed_tokens.weight",
}


def trial(prefix, value):
    return Trial(prefix=tuple(prefix), tokens=(), text="", score=Score(value=value), finish="stop")


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("rows", [1, 16, 17, 50])
def test_gradient_equals_the_plain_one(name, rows):
    space = TransformersEngine(tiny_model(name), tiny_tokenizer())
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
    if name in ("granite", "cohere"):
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

    class Space(TransformersEngine):
        def logits(self, latents, tokens=None):
            held.append(len(latents))
            return super().logits(latents, tokens)

    space = Space(tiny_model(), tiny_tokenizer())
    z = torch.randn(200, 32, generator=torch.Generator().manual_seed(0))
    policy_gradient(z, [trial([1] * 200, -1.0)], space, Settings())
    assert sum(held[-25:]) == 200
    assert max(held) <= 8


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize(
    "config", [{}, {"final_logit_softcapping": 5.0}, {"logit_scale": 0.25}, {"logits_scaling": 8.0}]
)
def test_a_head_pulls_back_what_autograd_would(config, biased, dtype):
    draw = torch.Generator().manual_seed(1)
    linear = torch.nn.Linear(16, 9000, bias=biased).to(getattr(torch, dtype))
    for weight in linear.parameters():
        weight.data.normal_(generator=draw)
    head = head_of(linear, SimpleNamespace(**config))
    z = torch.randn(5, 16, generator=draw, requires_grad=True)
    given = torch.randn(5, 9000, generator=draw)
    (wanted,) = torch.autograd.grad(head.logits(z), z, given)
    pulled = head.pull_back(z.detach(), given.clone())
    # Autograd rounds what it pulls back to the weight's precision; ours does not.
    rough = 1e-4 if dtype == "float32" else 0.03
    torch.testing.assert_close(pulled, wanted, rtol=rough, atol=rough * wanted.abs().max().item())


def test_in_half_precision_sums_are_kept_in_single():
    draw = torch.Generator().manual_seed(2)
    linear = torch.nn.Linear(16, 20_000, bias=False).to(torch.bfloat16)
    z, given = torch.randn(5, 16, generator=draw), torch.randn(5, 20_000, generator=draw)
    wanted = given.double() @ linear.weight.detach().double()
    pulled = head_of(linear, SimpleNamespace()).pull_back(z, given)
    torch.testing.assert_close(pulled.double(), wanted, rtol=1e-4, atol=1e-4)


def test_where_a_constraint_leaves_one_token_the_gradient_is_zero():
    class OneThenMany:
        def mask(self, logits, tokens):
            allowed = {3} if len(tokens) % 2 == 0 else {1, 5, 7}
            shut = torch.tensor([token not in allowed for token in range(len(logits))])
            return logits.masked_fill(shut, float("-inf"))

    space = TransformersEngine(tiny_model(), tiny_tokenizer())
    z = torch.randn(12, 32, generator=torch.Generator().manual_seed(0))
    chosen = [trial([3, 5] * 6, -0.5), trial([3, 1, 3], -1.0)]
    gradient = policy_gradient(z, chosen, space, Settings(), OneThenMany())
    assert not gradient[::2].any()

    many = z.clone().requires_grad_()
    log_pi = space.logits(many)[:, [1, 5, 7]].log_softmax(-1)
    (-0.5 * log_pi[1::2, 1].sum() - log_pi[1, 0]).div(2).backward()
    assert many.grad is not None
    torch.testing.assert_close(gradient[1::2], many.grad[1::2], rtol=1e-4, atol=1e-7)


class EvenOnly:
    """Allows tokens of even number."""

    def mask(self, logits, tokens):
        return logits.masked_fill(torch.arange(len(logits)) % 2 == 1, float("-inf"))


@pytest.mark.parametrize("constraint", [FREE, EvenOnly()], ids=["free", "constrained"])
@pytest.mark.parametrize("top_p", [0.6, 0.9, 1.0])
def test_the_gradient_is_of_the_distribution_that_is_sampled_from(top_p, constraint):
    """In expectation it is the slope of the mean reward, and a constant reward has none."""
    draw = torch.Generator().manual_seed(4)
    head, z = torch.randn(12, 6, generator=draw) / 6, torch.randn(1, 6, generator=draw)
    space: Any = SimpleNamespace(logits=lambda z: z @ head.T, pull_back=lambda _, pull: pull @ head)
    settings = Settings(temperature=0.7, top_p=top_p, baseline="none")

    def distribution(z):
        """How often the sampler draws each token, as its own steps say."""
        scores = constraint.mask((z @ head.T)[0], ()) / 0.7
        order = scores.softmax(0).argsort(descending=True)
        before = scores.softmax(0)[order].cumsum(0) - scores.softmax(0)[order]
        return scores.index_fill(0, order[before >= top_p], float("-inf")).softmax(0)

    chances = distribution(z)
    samplers = [Sampler(0.7, seed, 0, 0, top_p, constraint) for seed in range(400)]
    drawn = {sampler.choose((z @ head.T)[0]) for sampler in samplers}
    assert drawn == set(chances.nonzero().flatten().tolist())
    assert len(drawn) > 1

    def expected(rewards) -> Any:
        return sum(
            chance * policy_gradient(z, [trial([token], value)], space, settings, constraint)
            for token, (chance, value) in enumerate(zip(chances, rewards, strict=True))
        )

    rewards = [-float(token) / 11 for token in range(12)]
    at = z.clone().requires_grad_()
    (distribution(at) @ torch.tensor(rewards)).backward()
    torch.testing.assert_close(expected(rewards), at.grad, rtol=1e-4, atol=1e-6)
    assert expected([-0.5] * 12).abs().max() < 1e-6


def test_where_nothing_is_sampled_the_gradient_knows_no_nucleus():
    space = TransformersEngine(tiny_model(), tiny_tokenizer())
    z = torch.randn(3, 32, generator=torch.Generator().manual_seed(0))
    whole, cut = (
        policy_gradient(z, [trial([1, 2, 3], -0.5)], space, Settings(temperature=0.0, top_p=top_p))
        for top_p in (1.0, 0.3)
    )
    assert torch.equal(whole, cut)
