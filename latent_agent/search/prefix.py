"""Where a prefix ends: as long as the latents say, or with the first token that changes.

Latents are updated position by position, as if none hung on the others. But what the draft says
after a token was written to follow that token. Where it is changed, the rest can be left to the
model, as in decoding that branches at one token and goes on greedily (Wang and Zhou 2024,
arXiv 2402.10200).
"""

from collections.abc import Callable, Sequence

import torch

from latent_agent.model.sampling import Sampler
from latent_agent.settings import Settings

Decode = Callable[[torch.Tensor, Sampler], tuple[int, ...]]


def read_prefix(
    decode: Decode,
    drafted: Sequence[int],
    settings: Settings,
    latents: torch.Tensor,
    sampler: Sampler,
) -> tuple[int, ...]:
    """Return the prefix that latents (N, d) stand for; ``drafted`` are the draft's tokens."""
    tokens = decode(latents, sampler)
    return tokens if settings.rest == "kept" else until_change(tokens, drafted)


def until_change(tokens: Sequence[int], drafted: Sequence[int]) -> tuple[int, ...]:
    """Return tokens up to and with the first that is not the draft's; all if there is none."""
    for place, (ours, theirs) in enumerate(zip(tokens, drafted, strict=False)):
        if ours != theirs:
            return tuple(tokens[: place + 1])
    return tuple(tokens)
