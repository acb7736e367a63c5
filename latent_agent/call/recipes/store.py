"""Where calibrations lie: a small JSON file for each model, beside the memory's default place."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from latent_agent.call.recipes.saved import VERSION, SavedRecipe, release
from latent_agent.errors import RecipeError
from latent_memory import default_location


def folder() -> Path:
    """Return the folder of saved calibrations; it need not be there.

    Raises:
        LocationError: If the user has no home folder.
    """
    return default_location().parent / "recipes"


def path_of(fingerprint: str) -> Path:
    """Return where a model's calibration lies."""
    return folder() / f"{fingerprint}.json"


def save(recipe: SavedRecipe) -> Path:
    """Keep a calibration in place of the one that is there; a kill leaves one of both.

    Raises:
        RecipeError: If it cannot be written.
    """
    path = path_of(recipe.fingerprint)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Another process may save the same one: each writes a file of its own.
        number, name = tempfile.mkstemp(prefix=".new-", dir=path.parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as file:
                file.write(recipe.model_dump_json(indent=1) + "\n")
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise RecipeError(
            f"a calibration must be kept in a folder that can be written, got {str(path)!r} "
            f"({error}); make room or give rights there, or leave --save out"
        ) from error
    return path


def load(path: Path) -> SavedRecipe:
    """Read a calibration.

    Raises:
        RecipeError: If it is none that this release reads.
    """
    try:
        recipe = SavedRecipe.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        shown = str(error).splitlines()[0]
        raise RecipeError(
            f"a saved calibration must be a file of version {VERSION}, got {str(path)!r} "
            f"({shown}); run latent-agent calibrate --save again"
        ) from error
    for what, ours, its in (
        ("file version", VERSION, recipe.version),
        ("release of latent-agent", release(), recipe.release),
    ):
        if ours != its:
            raise RecipeError(
                f"a saved calibration must be of the same {what}, {ours}, got {its} in "
                f"{str(path)!r}; run latent-agent calibrate --save again"
            )
    return recipe


def saved() -> Iterator[tuple[Path, SavedRecipe | RecipeError]]:
    """Yield what is saved, each file with what it holds or why it cannot be used."""
    for path in sorted(folder().glob("*.json")):
        try:
            yield path, load(path)
        except RecipeError as error:
            yield path, error


def find(name: str) -> Path:
    """Return the file of a calibration.

    Args:
        name: The beginning of its fingerprint, or its model's name.

    Raises:
        RecipeError: If there is none, or several.
    """
    hits = [
        path
        for path, one in saved()
        if path.stem.startswith(name) or (isinstance(one, SavedRecipe) and one.model == name)
    ]
    if not name or len(hits) != 1:
        raise RecipeError(
            f"a calibration must be named by its fingerprint or its model, one alone, got "
            f"{name!r}, which names {len(hits)}; see latent-agent recipe list"
        )
    return hits[0]
