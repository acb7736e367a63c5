"""Reading the weights, or saying why they cannot be had."""

import torch

from latent_agent.errors import ModelError
from latent_agent.model.registry import SharedModel
from latent_agent.model.transformers_engine.memory_room import free_bytes


def load(model: SharedModel) -> None:
    """Read a model's weights.

    Raises:
        ModelError: If it is no model, or does not fit into the memory that is free.
    """
    size, free = model.size, free_bytes(torch.device("cpu"))
    on_cpu = not torch.cuda.is_available()
    if on_cpu and size is not None and free is not None and size > free:
        raise ModelError(_too_large(model, f"{size / 1e6:,.0f} MB where {free / 1e6:,.0f} are"))
    try:
        model.engine()
    except (MemoryError, RuntimeError) as error:  # torch's has no name of its own
        if isinstance(error, MemoryError) or "memory" in str(error):
            raise ModelError(_too_large(model, "more than is")) from error
        raise


def _too_large(model: SharedModel, got: str) -> str:
    return (
        f"a model must fit into the memory, got {model.name!r} with {got} free; choose a smaller "
        "one, or a quantised GGUF file of it"
    )
