"""In which data type a model computes."""

from functools import cache
from pathlib import Path
from typing import Any

DTYPES = ("float32", "bfloat16", "float16", "float64")
AS_CHECKPOINT = "auto"
_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # of x86 twice, and of Arm
_PROCESSOR = Path("/proc/cpuinfo")


def chosen_dtype(asked: str | None, checkpoint: str | None, device: str) -> str:
    """Return the name of the data type; the same machine always chooses the same.

    Args:
        asked: A name, ``auto`` for the checkpoint's own, or None: what suits the machine.
        checkpoint: The checkpoint's, by its config; None: it says nothing.
        device: Where it computes.
    """
    if asked not in (None, AS_CHECKPOINT):
        return asked
    if checkpoint not in ("bfloat16", "float16"):
        return "float32"
    if asked == AS_CHECKPOINT or not device.startswith("cpu"):
        return checkpoint
    return "bfloat16" if multiplies_bfloat16() else "float32"


def checkpoint_dtype(config: Any) -> str | None:
    """Return the data type that a config names, or None."""
    named = config.dtype or config.get_text_config().dtype
    return None if named is None else str(named).removeprefix("torch.")


@cache
def multiplies_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 itself, by its flags.

    Where it does not, bfloat16 is slower than float32. Systems without /proc/cpuinfo say no.
    """
    try:
        lines = _PROCESSOR.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = (line.partition(":")[2] for line in lines if line.startswith(("flags", "Features")))
    return not _FLAGS.isdisjoint(next(flags, "").split())
