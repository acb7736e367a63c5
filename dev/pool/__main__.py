"""Pools of answers as commands: ``python -m dev.pool``."""

import typer

from dev.pool.sample import sample
from latent_agent.cli import run_app

app = typer.Typer(
    help="Sample answers once, and compare rewards on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback()
def _several() -> None:
    """Keep the names of commands, however many there are."""


app.command()(sample)

if __name__ == "__main__":
    run_app(app)
