"""``python -m dev.bench profile``: where the time of one call goes."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json
from latent_agent.cli.watching import watching
from latent_agent.errors import SettingError


def profile(
    shape: Annotated[
        str | None, typer.Option(help="Random weights: tiny, 20M, 100M, 0.5B or 1.5B.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A real model in place of --shape; by default bundled.")
    ] = None,
    answer_tokens: Annotated[int, typer.Option(help="Tokens of an answer (T).", min=1)] = 64,
    iterations: Annotated[int, typer.Option(help="Gradient steps (K).", min=1)] = 5,
    questions: Annotated[int, typer.Option(help="Put to a real model.", min=1)] = 10,
    repeats: Annotated[int, typer.Option(help="Rounds, after one to warm up.", min=1)] = 3,
    threads: Annotated[
        int | None, typer.Option(help="Torch's threads; by default its own choice.", min=1)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of weights and questions.", min=0)] = 0,
    picture: Annotated[Path | None, typer.Option(help="Draw it into this PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Show where the time of one call goes, with a memory that the calls before it filled.

    The processor's time is booked by looking at the stack every 2 ms, so the call runs as always.
    With --shape all lengths are forced, nothing is accepted, and each step changes the prefix.
    """
    from dev.bench.pictures import draw_profile, require_drawing
    from dev.bench.plan import Plan
    from dev.bench.stages import profile as measure

    if shape is not None and model is not None:
        raise SettingError(f"give --shape or --model, got {shape!r} and {model!r}; leave one out")
    if picture is not None:
        require_drawing("--picture", "leave it out")
    plan = Plan(
        shape=shape,
        model=None if shape else model or "bundled",
        questions=questions,
        answer_tokens=answer_tokens,
        iterations=iterations,
        recipe="latentseek" if shape else "default",
        threads=threads,
        seed=seed,
    )
    with watching() as report:
        found = measure(plan, repeats, report)
    if picture is not None:
        draw_profile(found, picture)
    if as_json:
        typer.echo(json.dumps(found))
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    console = Console()
    console.print(
        f"{found['shape'] or found['model']}: {found['parameters'] / 1e6:,.1f}M parameters, "
        f"{found['threads']} threads\na call: {1000 * found['cpu_seconds']:,.1f} ms of the "
        f"processor, {found['steps']:.1f} steps, {found['forwarded_tokens']:,.0f} forwarded tokens"
    )
    table = Table("stage")
    for column in ("cpu ms a call", "share"):
        table.add_column(column, justify="right")
    for stage in found["stages"]:
        table.add_row(
            stage["stage"],
            f"{1000 * stage['cpu_seconds']:,.1f}",
            f"{100 * stage['share']:.1f}%",
        )
    console.print(table)
