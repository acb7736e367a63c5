"""The library itself: imported when it is needed, quiet, and asked for if it is missing."""

import ctypes
from collections import deque
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from latent_agent.errors import ModelError

INSTALL = 'pip install "latent-agent[llama-cpp]" (it wants a C++ compiler)'
_said: deque[str] = deque(maxlen=20)  # the library's last lines


def is_installed() -> bool:
    """Whether llama.cpp can be used here."""
    return find_spec("llama_cpp") is not None


@cache
def library() -> Any:
    """Return llama-cpp-python's low-level module.

    Raises:
        ModelError: If it is not installed, or cannot be loaded.
    """
    try:
        llama_cpp: Any = import_module("llama_cpp.llama_cpp")  # types need not know an extra
    except (ImportError, OSError, RuntimeError) as error:
        raise ModelError(
            f"a GGUF file is run by llama.cpp, which cannot be imported here ({error}); install "
            f"it: {INSTALL}"
        ) from error
    llama_cpp.llama_log_set(_heard(llama_cpp.llama_log_callback), ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    return llama_cpp


@cache
def _heard(made: Any) -> Any:
    """Return the log callback; kept, since one that is collected would end the process."""

    def hear(_: int, text: bytes, __: Any) -> None:
        _said.append(text.decode(errors="replace").strip())

    return made(hear)


def last_words() -> Sequence[str]:
    """Return what the library said of errors lately, oldest first."""
    return [line for line in list(_said) if "error" in line or "failed" in line]
