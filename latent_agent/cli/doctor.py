"""``latent-agent doctor``: is all well, and what to do where it is not."""

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import Json, MemoryAt, Model
from latent_agent.model.options import LoadOptions

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


@opens_model
def doctor(
    model: Model = "bundled",
    at: MemoryAt = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Read every trace, compare every index.")
    ] = False,
    smoke: Annotated[bool, typer.Option(help="Answer one question.")] = True,
    opened: LoadOptions = USUAL,
    as_json: Json = False,
) -> None:
    """Look whether all is well: versions, model, disk, memory, indexes, priors, nights, one call.

    Exit codes: 0 all is well, or only warnings. 1 something fails.
    """
    from latent_agent.doctor.examine import examine

    with Console(stderr=True).status("looking"):
        findings = list(examine(model, at, opened, thorough=thorough, smoke=smoke))
    if as_json:
        typer.echo(json.dumps({"findings": [asdict(finding) for finding in findings]}))
    else:
        table = Table("", "What", show_edge=False)
        table.add_column("Found", overflow="fold")  # a path is to be copied whole
        for finding in findings:
            text = escape(finding.text)
            if finding.remedy:
                text += f"\n[bold]{escape(finding.remedy)}[/bold]"
            colour = _COLOURS[finding.state]
            table.add_row(f"[{colour}]{finding.state}[/{colour}]", escape(finding.about), text)
        Console().print(table)
    if any(finding.state == "fail" for finding in findings):
        raise typer.Exit(1)
