"""Pools of answers as commands: ``python -m dev.pool``."""

import typer

from dev.pool.picture import picture
from dev.pool.sample import sample
from dev.pool.score import score
from dev.pool.table import table
from latent_agent.cli import run_app

app = typer.Typer(
    help="Sample answers once, and compare rewards on them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


for command in (sample, score, table, picture):
    app.command()(command)

if __name__ == "__main__":
    run_app(app)
