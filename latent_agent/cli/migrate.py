"""``latent-agent migrate``: bring a memory's database to this version's schema."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from latent_agent.cli.options import Json, MemoryAt
from latent_memory import default_location
from latent_memory import migrate as migrate_memory


def migrate(
    at: MemoryAt = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what it would do.")] = False,
    as_json: Json = False,
) -> None:
    """Bring a memory's database to this version's schema, after copying it."""
    done = migrate_memory(at or default_location(), dry_run=dry_run)
    if as_json:
        typer.echo(json.dumps({**asdict(done), "dry_run": dry_run}, default=str))
        return
    typer.echo(f"{done.path}: at {done.current}, newest {done.head}")
    for revision in done.pending:
        typer.echo(f"  {'would apply' if dry_run else 'applied'} {revision}")
    if not done.pending:
        typer.echo("  nothing to do")
    if done.backup is not None:
        typer.echo(f"  copied beforehand to {done.backup}")
