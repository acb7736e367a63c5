"""How many rows of cached keys and values fit the memory that is free."""

import logging
from functools import cache
from pathlib import Path

import torch
from transformers import PretrainedConfig

_log = logging.getLogger(__name__)
_KEPT_FREE = 0.1  # of what is free: passes need memory of their own
_MEMINFO = Path("/proc/meminfo")


def row_bytes(config: PretrainedConfig, length: int, dtype: torch.dtype, vocabulary: int) -> int:
    """Return the bytes of one row while it is written: keys, values, and twice its logits.

    ``2 * layers * heads * size * bytes * length + 2 * 4 * vocabulary``: keys and values of all
    layers with their key heads, and logits in float32 before and after they are masked.
    """
    query_heads = getattr(config, "num_attention_heads", None) or 1
    heads = getattr(config, "num_key_value_heads", None) or query_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // query_heads
    position = 2 * config.num_hidden_layers * heads * size * dtype.itemsize
    return position * length + 2 * torch.float32.itemsize * vocabulary


def free_bytes(device: torch.device) -> int | None:
    """Return how much memory of a device is free; None: it does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu" or not _MEMINFO.is_file():
        return None
    lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return int(found[0]) * 1024 if found else None


def rows_that_fit(one: int, free: int | None, wanted: int) -> int:
    """Return how many rows of ``one`` byte each are written at once: all, or as many as fit.

    The others are written after them, so that nothing but time depends on it.
    """
    if free is None or wanted <= 1:
        return wanted
    fit = max(1, int(free * (1 - _KEPT_FREE)) // one)
    if fit < wanted:
        _say(wanted, fit, one)
    return min(fit, wanted)


@cache
def _say(wanted: int, fit: int, one: int) -> None:
    _log.warning(
        "answers that are written at once must fit the memory, got %d of %.1f MB each, of which %d "
        "fit: so many are written at once, and the others after them; lower width, samples, drafts "
        "or max_tokens",
        wanted, one / 2**20, fit,
    )  # fmt: skip
