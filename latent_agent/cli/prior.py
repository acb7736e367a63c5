"""``latent-agent prior``: look at latent priors, make one active, go back."""

import json
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json, MemoryAt, OneNamespace
from latent_agent.cli.plain_text import plain
from latent_agent.errors import PriorError
from latent_agent.nights.status import state_of
from latent_memory import LatentMemory, Shelf
from latent_memory.database import Database
from latent_memory.priors.nights import find_night
from latent_memory.priors.priors import PriorInfo, active_prior, find_prior, list_priors
from latent_memory.priors.publishing import publish as publish_prior
from latent_memory.priors.publishing import roll_back

prior = typer.Typer(help="Look at latent priors, make one active, go back.", no_args_is_help=True)
Version = Annotated[int, typer.Argument(help="The prior's version.")]


def _open(at: str | None, *, read: bool = False) -> LatentMemory:
    from latent_memory import default_location

    return LatentMemory(at or default_location(), mode="read" if read else "read-write")


@prior.command("list")
def list_(at: MemoryAt = None, namespace: OneNamespace = None, as_json: Json = False) -> None:
    """List priors, newest first."""
    with _open(at, read=True) as memory:
        priors = list_priors(memory.database, namespace=namespace)
        rows = [_row(memory.database, info) for info in priors]
    if as_json:
        typer.echo(json.dumps({"priors": rows}, default=str))
        return
    table = Table(caption="Times are in UTC")
    for name in ("Version", "Namespace", "Reward", "N", "Traces", "Trained", "State"):
        table.add_column(name, overflow="ellipsis", no_wrap=name != "State")
    for row in rows:
        table.add_row(
            str(row["version"]),
            plain(row["namespace"]),
            plain(row["reward"].split(" ")[0]),
            str(row["positions"]),
            f"{row['first_trace']}-{row['last_trace']}",
            f"{row['created']:%m-%d %H:%M}",
            plain(row["state"]),
        )
    Console().print(table)


@prior.command()
def show(version: Version, at: MemoryAt = None, as_json: Json = False) -> None:
    """Show one prior, and the night that trained it."""
    with _open(at, read=True) as memory:
        info = find_prior(memory.database, version)
        row = _row(memory.database, info)
        night = find_night(memory.database, info.night)
    if as_json:
        shown = {**row, "night": None if night is None else asdict(night)}
        typer.echo(json.dumps(shown, default=str))
        return
    if night is not None and night.result is not None:
        result = night.result
        row |= {"verdict": result.verdict, "reason": result.reason}
        row["seconds"] = round(result.seconds, 1)
        row["gate"] = json.dumps(result.gate.get("contestants", {}))
    table = Table(show_header=False, box=None, padding=(0, 1))
    for name, value in row.items():
        table.add_row(f"[dim]{name}[/dim]", plain(str(value)))
    Console().print(table)


@prior.command()
def publish(version: Version, at: MemoryAt = None, as_json: Json = False) -> None:
    """Make a prior active, whatever the gate's verdict."""
    from latent_agent.recall.active_prior import ActivePrior

    with _open(at) as memory:
        info = find_prior(memory.database, version)
        ActivePrior.of(info, info.shelf, memory.database)  # a damaged one is not published
        published = publish_prior(memory.database, version)
    _print(as_json, active=published.version, namespace=published.shelf.namespace)


@prior.command()
def rollback(
    at: MemoryAt = None,
    namespace: Annotated[str, typer.Option(help="Whose prior.")] = "default",
    as_json: Json = False,
) -> None:
    """Withdraw the active prior; the one before it is active again."""
    with _open(at) as memory:
        gone, now = roll_back(memory.database, _only_shelf(memory, namespace))
    _print(
        as_json,
        withdrawn=gone.version,
        active=None if now is None else now.version,
        namespace=namespace,
    )


def _only_shelf(memory: LatentMemory, namespace: str) -> Shelf:
    """Return the shelf whose prior was published last: of one model, scored by one reward.

    Raises:
        PriorError: If no prior is active in the namespace.
    """
    known = {info.shelf for info in list_priors(memory.database, namespace=namespace)}
    latest = [info for shelf in known if (info := active_prior(memory.database, shelf)) is not None]
    if not latest:
        raise PriorError(
            f"a prior must be active to be rolled back, but namespace {namespace!r} has none; "
            "see: latent-agent prior list"
        )
    return max(latest, key=lambda info: info.published or 0).shelf


def _row(database: Database, info: PriorInfo) -> dict[str, Any]:
    now = active_prior(database, info.shelf)
    return {
        "version": info.version,
        "state": state_of(info, now is not None and now.version == info.version),
        "namespace": info.shelf.namespace,
        "fingerprint": info.shelf.fingerprint,
        "reward": info.shelf.reward,
        "positions": info.positions,
        "first_trace": info.first_trace,
        "last_trace": info.last_trace,
        "created": info.created,
        "published_at": info.published_at,
        "file": info.file,
        "checksum": info.checksum,
        "night": info.night,
    }


def _print(as_json: bool, **values: Any) -> None:
    if as_json:
        typer.echo(json.dumps(values))
    else:
        typer.echo(", ".join(f"{name}: {value}" for name, value in values.items()))
