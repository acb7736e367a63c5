"""A question's embedding, from the hidden states that the draft's prefill computes anyway."""

from collections.abc import Sequence

import torch

EMBEDDING = "middle-layer-last-token"
"""Name of the recipe; part of every trace's fingerprint."""


def pool(layers: Sequence[torch.Tensor]) -> torch.Tensor:
    """Pool a prompt's hidden states into one embedding.

    The last token has read the whole prompt, and a middle layer still says what is asked rather
    than which word comes next.

    Args:
        layers: States after the embeddings and after each layer, each (1, length, d).

    Returns:
        The embedding, (d,) float32, raw: who compares embeddings centres them first.
    """
    return layers[len(layers) // 2][0, -1].float()
