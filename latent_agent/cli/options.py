"""Options that several commands share."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from latent_agent.errors import SettingError

Model = Annotated[
    str, typer.Option(help="'bundled', a Hugging Face id, or a local folder.", show_default=True)
]
Recipe = Annotated[str, typer.Option(help="default, latentseek or latentevolve.")]
MaxIterations = Annotated[
    int | None, typer.Option(help="Gradient steps at most (K); by default the recipe's.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]


def built_in_reward(name: str) -> Any:
    """Return the reward that a name or ``module:attribute`` stands for; None for ``self``.

    Raises:
        SettingError: If there is no such reward.
    """
    if name == "self":
        return None
    module, _, attribute = name.partition(":")
    if not attribute:
        raise SettingError(
            f"reward must be 'self', 'psrm' (demo only) or module:attribute, got {name!r}; "
            "for example --reward my_rewards:length"
        )
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise SettingError(
            f"reward must be importable, got {name!r} ({error}); run the command from the folder "
            "that holds the module, or install it"
        ) from error
