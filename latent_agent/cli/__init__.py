"""The command line ``latent-agent``; one file a command."""

import inspect
import sys

import typer

from latent_agent.cli.ask import ask
from latent_agent.cli.calibrate import calibrate
from latent_agent.cli.chat import chat
from latent_agent.cli.consolidate import consolidate
from latent_agent.cli.demo import demo
from latent_agent.cli.doctor import doctor
from latent_agent.cli.evaluate import evaluate
from latent_agent.cli.load_line import load_line
from latent_agent.cli.memory import memory
from latent_agent.cli.memory_limits import limits, record
from latent_agent.cli.migrate import migrate
from latent_agent.cli.prior import prior
from latent_agent.cli.rate import rate
from latent_agent.cli.recipe import recipe
from latent_agent.cli.report import report
from latent_agent.cli.serve import serve, serve_key
from latent_agent.errors import LatentAgentError
from latent_agent.model.load_watch import watching_loads
from latent_memory import LatentMemoryError

app = typer.Typer(
    help="A local chat model that judges its drafts and searches its latents for better answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(ask)
app.command()(chat)
app.command()(evaluate)
app.command()(calibrate)
app.command()(consolidate)
app.command()(serve)
app.command()(serve_key)
app.command()(report)
app.command()(migrate)
app.command()(doctor)
memory.command()(limits)
memory.command()(record)
memory.command()(rate)
app.add_typer(memory, name="memory")
app.add_typer(prior, name="prior")
app.add_typer(recipe, name="recipe")


def reflow(commands: typer.Typer) -> None:
    """Let help texts fill the lines of the terminal: Typer keeps the breaks of a docstring."""
    for command in commands.registered_commands:
        paragraphs = inspect.cleandoc(getattr(command.callback, "__doc__", "")).split("\n\n")
        command.help = "\n\n".join(" ".join(one.split()) for one in paragraphs)
    for group in commands.registered_groups:
        if group.typer_instance is not None:
            reflow(group.typer_instance)


reflow(app)


def main() -> None:
    """Run the command line ``latent-agent``."""
    run_app(app)


def run_app(command: typer.Typer) -> None:
    """Run a command line; our own errors are one line on stderr, with exit code 2."""
    try:
        with watching_loads(load_line):
            command()
    except (LatentAgentError, LatentMemoryError) as error:
        typer.echo(f"latent-agent: {error}", err=True)
        sys.exit(2)
