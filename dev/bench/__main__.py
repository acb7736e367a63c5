"""The benchmarks as commands: ``python -m dev.bench``."""

import typer

from dev.bench.batch_command import batch
from dev.bench.beside_command import beside
from dev.bench.call_command import call
from dev.bench.ends_command import ends
from dev.bench.engines_command import engine_run, engines
from dev.bench.feedback_command import feedback
from dev.bench.gate_command import gate
from dev.bench.memory_command import memory
from dev.bench.night_command import night
from dev.bench.profile_command import profile
from dev.bench.rounds_command import rounds
from latent_agent.cli import run_app

app = typer.Typer(
    help="Measure this machine.", no_args_is_help=True, pretty_exceptions_enable=False
)
for command in (
    memory, call, night, beside, batch, profile, engines, rounds, ends, gate, feedback,
):  # fmt: skip
    app.command()(command)
app.command(hidden=True)(engine_run)

if __name__ == "__main__":
    run_app(app)
