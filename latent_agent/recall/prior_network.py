"""The latent prior: a small network that guesses where a question's search will end.

LatentEvolve (arXiv 2509.24771), equation 8: ``z'_base = W(e, z_base)``. The paper's weaver ``W``
is a language model of 1.5B parameters; this is a residual network of a few million at most, and
untrained it changes nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from latent_agent.errors import PriorError

HIDDEN = 512
_MOST = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class PriorShape:
    """The sizes that make a prior.

    Attributes:
        positions: How many of an answer's first latents are corrected (N).
        width: Width of a latent (d).
        embedding: Width of a question's embedding (e).
        hidden: Width of the network; at 512 a model with d = 896 gets a prior of 1.7M parameters.
    """

    positions: int
    width: int
    embedding: int
    hidden: int = HIDDEN

    def __post_init__(self) -> None:
        for name, size in asdict(self).items():
            known: Any = size
            if not isinstance(known, int) or isinstance(known, bool) or not 1 <= known <= _MOST:
                raise PriorError(
                    f"a prior's {name} must be a whole number from 1 to {_MOST}, got {size!r}; "
                    "train again with: latent-agent consolidate"
                )


class LatentPrior(nn.Module):
    """Corrects the first latents of a draft, position by position.

    Args:
        shape: Its sizes.
        seed: Of the first weights; no global random stream is touched.
    """

    centre: torch.Tensor

    def __init__(self, shape: PriorShape, seed: int = 0) -> None:
        super().__init__()
        self.shape = shape
        self.of_latent = _linear(shape.width, shape.hidden)
        self.of_question = _linear(shape.embedding, shape.hidden)
        self.of_position = nn.Parameter(torch.empty(shape.positions, shape.hidden))
        self.mix = _linear(shape.hidden, shape.hidden)
        self.out = _linear(shape.hidden, shape.width)
        self.register_buffer("centre", torch.zeros(shape.embedding))
        self._start(torch.Generator().manual_seed(seed))

    def _start(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            for linear in (self.of_latent, self.of_question, self.mix):
                nn.init.kaiming_uniform_(linear.weight, a=5**0.5, generator=generator)
                linear.bias.zero_()
            nn.init.normal_(self.of_position, std=0.3, generator=generator)
            self.out.weight.zero_()  # so that untrained it changes nothing
            self.out.bias.zero_()

    def forward(self, embedding: torch.Tensor, base: torch.Tensor) -> torch.Tensor:
        """Return the corrected latents, (..., M, d) float32; those from position N on stay.

        Args:
            embedding: The question's, raw, (..., e).
            base: The first latents of its greedy draft, (..., M, d).
        """
        first = min(base.shape[-2], self.shape.positions)
        head = base[..., :first, :].float()
        # Raw embeddings of one model all point the same way: what tells questions apart is left
        # once their mean is gone.
        question = _normed(embedding.float() - self.centre)
        state = self.of_latent(_normed(head)) + self.of_question(question)[..., None, :]
        state = functional.gelu(state + self.of_position[:first])
        state = state + functional.gelu(self.mix(_normed(state)))
        return torch.cat([head + self.out(state), base[..., first:, :].float()], dim=-2)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.out.weight.device

    def weights(self) -> Mapping[str, torch.Tensor]:
        """Return a copy of all weights, on the CPU, in a fixed order."""
        return {name: value.detach().cpu().clone() for name, value in self.state_dict().items()}


def _linear(inputs: int, outputs: int) -> nn.Linear:
    """Make a layer without drawing from the global random stream."""
    layer: Any = nn.utils.skip_init(nn.Linear, inputs, outputs)
    return layer


def _normed(values: torch.Tensor) -> torch.Tensor:
    return functional.layer_norm(values, values.shape[-1:])
