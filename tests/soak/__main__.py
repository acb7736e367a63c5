"""``python -m tests.soak``: whether it can be left running, tried on this machine."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli import run_app
from latent_agent.cli.options import Json
from latent_agent.cli.watching import watching

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.soak.watch import Sample


app = typer.Typer(pretty_exceptions_enable=False)


@app.command()
def soak(
    folder: Annotated[Path, typer.Option(help="A new or empty folder for the memory.")],
    minutes: Annotated[float, typer.Option(help="How long.", min=0.05)] = 30.0,
    threads: Annotated[int, typer.Option(help="Threads in one process.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Of what each thread does.", min=0)] = 0,
    plot: Annotated[Path | None, typer.Option(help="Plot memory over time into this PNG.")] = None,
    as_json: Json = False,
) -> None:
    """Work on one memory with many threads: calls, forgets, nights and index deletions.

    Afterwards: no error; no growth of memory after the warm-up (the first third), by the Theil-Sen
    slope, beyond 5% of its median: of what is allocated while all threads rest (in the C heap, and
    in Python's own), from three minutes on, and of all that is resident, from twenty minutes on;
    verify finds nothing; every acknowledged trace is there unless forgotten, and in its own
    namespace. Exit code 1 if one of these does not hold; the memory stays in the folder.
    """
    from dev.bench.pictures import require_drawing

    if plot is not None:
        require_drawing("--plot", "leave it out")
    from tests.soak.plan import Plan
    from tests.soak.run import soak as run

    plan = Plan(seconds=60 * minutes, threads=threads, folder=folder, seed=seed)
    with watching() as report:
        figures, samples = run(plan, report)
    if plot is not None:
        from tests.soak.draw import draw

        draw(samples, figures, plot)
    _print_figures(figures, samples, as_json)
    if figures["problems"]:
        for problem in figures["problems"]:
            typer.echo(f"latent-agent: the soak failed: {problem}", err=True)
        raise typer.Exit(1)


def _print_figures(figures: dict[str, Any], samples: "Sequence[Sample]", as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(figures | {"samples": [asdict(sample) for sample in samples]}))
        return
    table = Table(show_header=False, title=f"A soak of {figures['seconds'] / 60:.1f} minutes")
    table.add_column()
    table.add_column(justify="right")
    for name, count in figures["actions"].items():
        table.add_row(name, f"{count:,}")
    for verdict, count in figures["nights"].items():
        table.add_row(f"nights {verdict}", f"{count:,}")
    for name, change in figures["memory"].items():
        text = change["text"] if change["judged"] else f"{change['text']}, not judged"
        table.add_row(f"memory {name}", text)
    for name, text in (
        ("traces acknowledged", f"{figures['acknowledged']:,}"),
        ("traces forgotten", f"{figures['forgotten']:,}"),
        ("warnings logged", f"{sum(figures['warnings'].values()):,}"),
        ("most resident", f"{figures['peak'] / 1e6:,.0f} MB"),
        ("files", f"{figures['disk'] / 1e6:,.1f} MB"),
        ("problems", str(len(figures["problems"]))),
    ):
        table.add_row(name, text)
    Console().print(table)


if __name__ == "__main__":
    run_app(app)
