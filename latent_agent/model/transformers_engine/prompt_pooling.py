"""A question's embedding, from the hidden states that the draft's prefill computes anyway."""

from collections.abc import Sequence

import torch


def pool(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Pool a prompt's hidden states into one embedding: the mean over an early layer.

    Early layers still say what is asked, late ones which word comes next. Chosen by
    ``python -m dev.bundled_model.neighbours``.

    Args:
        layers: States after the embeddings and after each layer, each (1, length, d).

    Returns:
        The embedding, (d,) float32, raw: embeddings are centred before they are compared.
    """
    early = max(1, (len(layers) - 1) // 5)
    return layers[early][0].float().mean(0)
