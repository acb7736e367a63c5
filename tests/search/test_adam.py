"""Our Adam against torch's: the same bits."""

import pytest
import torch

from latent_agent.search.adam import Adam


@pytest.mark.parametrize("rate", [0.03, 0.3])
def test_every_step_equals_torchs(rate):
    draw = torch.Generator().manual_seed(0)
    ours = torch.randn(5, 33, generator=draw)
    theirs = ours.clone().requires_grad_()
    adam, plain = Adam(ours, rate), torch.optim.Adam([theirs], lr=rate, maximize=True)
    for _ in range(60):
        gradient = torch.randn(5, 33, generator=draw)
        adam.ascend(gradient)
        theirs.grad = gradient.clone()
        plain.step()
        assert torch.equal(ours, theirs.detach())
