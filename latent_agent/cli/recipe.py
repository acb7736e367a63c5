"""``latent-agent recipe``: look at saved calibrations, and delete one."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.call.recipes.saved import SavedRecipe
from latent_agent.call.recipes.store import find, load, saved
from latent_agent.cli.options import Json, Yes, confirm
from latent_agent.cli.plain_text import plain

recipe = typer.Typer(
    help="Look at what `calibrate --save` kept, and delete it.", no_args_is_help=True
)
Name = Annotated[str, typer.Argument(help="Its model, or the beginning of its fingerprint.")]


@recipe.command("list")
def list_(as_json: Json = False) -> None:
    """List saved calibrations; one that this release cannot use says why."""
    rows = [_row(path, one) for path, one in saved()]
    if as_json:
        typer.echo(json.dumps({"recipes": rows}))
        return
    if not rows:
        typer.echo("No calibration is saved; latent-agent calibrate --save makes one.")
        return
    table = Table(caption="Times are in UTC")
    for name in ("Fingerprint", "Model", "Made", "Questions", "Recommended"):
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(
            row["fingerprint"][:8],
            plain(row["model"]),
            row["made"][:16].replace("T", " "),
            str(row["questions"] or ""),
            plain(row["error"] or row["recommended"]),
        )
    Console().print(table)


@recipe.command()
def show(name: Name) -> None:
    """Print one saved calibration as JSON."""
    typer.echo(load(find(name)).model_dump_json(indent=1))


@recipe.command()
def delete(name: Name, yes: Yes = False) -> None:
    """Delete one saved calibration."""
    path = find(name)
    confirm(f"Delete {path}?", yes, 1)
    path.unlink(missing_ok=True)
    typer.echo(f"Deleted {path}.")


def _row(path: Path, one: SavedRecipe | Exception) -> dict[str, Any]:
    if not isinstance(one, SavedRecipe):
        unknown = {"model": "", "made": "", "questions": 0, "recommended": ""}
        return {"fingerprint": path.stem, **unknown, "error": str(one)}
    return {
        "fingerprint": one.fingerprint,
        "model": one.model,
        "made": one.made.isoformat(),
        "questions": one.questions,
        "recommended": one.named,
        "error": None,
    }
