"""``latent-agent memory limits`` and ``record``: what is kept at most, and what was erased."""

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import timedelta
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json, MemoryAt, Yes, confirm, open_memory
from latent_memory import Limits, Tidied

Most = Annotated[int | None, typer.Option(help="Traces a namespace; 0: no limit.", min=0)]
Days = Annotated[float | None, typer.Option(help="Days a trace is kept; 0: no limit.", min=0)]
Hourly = Annotated[
    int | None, typer.Option(help="New traces a namespace and hour; 0: no limit.", min=0)
]

Total = Annotated[int | None, typer.Option(help="Traces of all namespaces; 0: no limit.", min=0)]


def limits(
    at: MemoryAt = None,
    capacity: Most = None,
    max_age: Days = None,
    hourly: Hourly = None,
    total: Total = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Erase what is beyond them now, as a night does.")
    ] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Show what is kept at most, and change or apply it."""
    given = {"capacity": capacity, "hourly": hourly, "total": total}
    changes = any(value is not None for value in (*given.values(), max_age))
    with open_memory(at, read=not (changes or apply)) as opened:
        if changes:
            opened.set_limits(_changed(opened.limits(), given, max_age))
        held, beyond = opened.limits(), opened.tidy(dry_run=True)
        if apply:
            count = beyond.expired + beyond.evicted
            confirm(f"Erase {count:,} traces for good?", yes, count)
            beyond = opened.tidy()
    _show(held, beyond, apply, as_json)


def _changed(held: Limits, given: Mapping[str, int | None], max_age: float | None) -> Limits:
    """Put what was given in the place of what held; 0 takes a limit away."""
    held = replace(held, **{name: most or None for name, most in given.items() if most is not None})
    return held if max_age is None else replace(held, max_age=timedelta(days=max_age) or None)


def _show(held: Limits, beyond: Tidied, applied: bool, as_json: bool) -> None:
    days = None if held.max_age is None else held.max_age / timedelta(days=1)
    values = {
        "capacity": held.capacity,
        "max_age_days": days,
        "hourly": held.hourly,
        "total": held.total,
    }
    done = "erased" if applied else "beyond"
    if as_json:
        typer.echo(json.dumps({**values, done: asdict(beyond)}))
        return
    table = Table("What", "At most")
    table.add_row("traces of a namespace", _limit(held.capacity))
    table.add_row("new traces of a namespace, an hour", _limit(held.hourly))
    table.add_row("days a trace is kept", _limit(days))
    table.add_row("traces of all namespaces", _limit(held.total))
    console = Console(highlight=False)
    console.print(table)
    room = ", the file is rewritten" if beyond.compacted else ""
    console.print(f"{done}: {beyond.expired:,} too old, {beyond.evicted:,} too many{room}")


def _limit(value: float | None) -> str:
    return "no limit" if value is None else f"{value:,.10g}"


def record(
    at: MemoryAt = None,
    limit: Annotated[int, typer.Option(help="How many entries, newest first.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """Show when and why traces were erased; what they held is not kept."""
    with open_memory(at, read=True) as opened:
        erasures = opened.erasures(limit)
    if as_json:
        rows: list[dict[str, Any]] = [asdict(entry) for entry in erasures]
        typer.echo(json.dumps({"erasures": rows}, default=str))
        return
    table = Table("From (UTC)", "To", "Traces", "Why")
    for entry in erasures:
        began, ended = (f"{moment:%Y-%m-%d %H:%M:%S}" for moment in (entry.began, entry.ended))
        table.add_row(began, ended, f"{entry.traces:,}", entry.reason)
    Console().print(table)
