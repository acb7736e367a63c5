"""What ``module:attribute`` names, as typed into a command."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Any


def named(module: str, attribute: str) -> Any:
    """Import an attribute; modules of the folder that the command runs in count too.

    Raises:
        ImportError: If there is no such module.
        AttributeError: If it has no such attribute.
    """
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    return getattr(import_module(module), attribute)
