"""How a model or tokenizer is named: ``bundled``, a Hugging Face id, a path."""

import os
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator

BUNDLED = "bundled"


def place_name(place: Any) -> Any:
    """Return the text that names a model or tokenizer; what is no path is returned as it is.

    A path becomes absolute: a relative one would be taken for a hub id, or the bundled model.
    """
    if not isinstance(place, os.PathLike):
        return place
    return str(Path(os.fsdecode(place)).expanduser().absolute())


Place = Annotated[Any, BeforeValidator(place_name)]
"""A field that names a model or tokenizer, or is one."""


def bundled_path() -> Path:
    """Return the folder of the bundled model."""
    return Path(__file__).parents[1] / "teaching" / "model"


def is_path(name: str) -> bool:
    """Whether a name is a path, and not a Hugging Face id."""
    try:
        return name.startswith((".", "/", "~")) or Path(name).exists()
    except OSError:  # longer than any file's name
        return False


def location(name: str) -> str:
    """Return where the model of a name lies: a path, or a Hugging Face id."""
    if name == BUNDLED:
        return str(bundled_path())
    # Unlike Path.expanduser, it raises nothing where there is no home.
    return os.path.expanduser(name) if is_path(name) else name  # noqa: PTH111
