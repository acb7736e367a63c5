"""Options that several commands share."""

import sys
from typing import Annotated, Any

import typer

from latent_agent.errors import SettingError
from latent_memory import LatentMemory, default_location

REWARDS = "self, agreement, equations, scale, p-true, others of the docs, or module:attribute."
RewardName = Annotated[str, typer.Option(help=REWARDS)]

Model = Annotated[
    str,
    typer.Option(help="'bundled', a Hugging Face id, a folder, or a GGUF file.", show_default=True),
]
Recipe = Annotated[str, typer.Option(help="default, latentseek or latentevolve.")]
ChatRecipe = Annotated[
    str, typer.Option("--recipe", help="default, latentseek, latentevolve, or auto: as calibrated.")
]
MaxIterations = Annotated[
    int | None, typer.Option(help="Gradient steps at most (K); by default the recipe's.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on stdout, nothing else.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")]

MemoryAt = Annotated[
    str | None,
    typer.Option(
        "--memory",
        help="Path, sqlite:/// or postgresql:// URL; by default in the user's data folder.",
    ),
]
OneNamespace = Annotated[
    str | None, typer.Option("--namespace", help="Only this namespace; by default all.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


def open_memory(at: str | None, *, read: bool = False) -> LatentMemory:
    """Open the memory at a location; None: in the user's data folder."""
    return LatentMemory(at or default_location(), mode="read" if read else "read-write")


def confirm(question: str, yes: bool, count: int) -> None:
    """Ask before something is destroyed; nothing is asked where there is nothing to destroy.

    Raises:
        SettingError: If nobody can be asked, and ``--yes`` was not given.
    """
    if yes or count == 0:
        return
    if not sys.stdin.isatty():
        raise SettingError(
            f"{question!r} must be answered, and nobody can be asked here; give --yes"
        )
    typer.confirm(question, abort=True, err=True)


def built_in_reward(name: str) -> Any:
    """Return the reward that a name or ``module:attribute`` stands for; None for ``self``.

    Raises:
        SettingError: If there is no such reward.
    """
    if name == "self":
        return None
    from latent_agent.reward.by_name import BUILT_IN, named

    if name in BUILT_IN:
        return BUILT_IN[name]()
    module, _, attribute = name.partition(":")
    if not attribute:
        raise SettingError(
            f"reward must be 'self', 'psrm' (demo only), one of {', '.join(BUILT_IN)}, or "
            f"module:attribute, got {name!r}; for example --reward my_rewards:length"
        )
    try:
        return named(module, attribute)
    except (ImportError, AttributeError) as error:
        raise SettingError(
            f"reward must be importable, got {name!r} ({error}); run the command from the folder "
            "that holds the module, or install it"
        ) from error


def named_embedder(name: str) -> Any:
    """Return the embedder that ``module:attribute`` stands for.

    Raises:
        SettingError: If there is none.
    """
    from latent_agent.reward.by_name import named

    module, _, attribute = name.partition(":")
    try:
        embedder = named(module, attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SettingError(
            f"embeddings must be importable as module:attribute, got {name!r} ({error}); run the "
            "command from the folder that holds the module, or install it"
        ) from error
    if not callable(getattr(embedder, "embed_query", None)):
        raise SettingError(
            f"embeddings must have a method embed_query, got {embedder!r} for {name!r}; name the "
            "object that the chat model was given as embeddings="
        )
    return embedder
