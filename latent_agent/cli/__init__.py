"""The command line ``latent-agent``; one file a command."""

from typing import Any

import typer
from click import ClickException, Context
from typer.core import TyperGroup

from latent_agent.cli.ask import ask
from latent_agent.cli.demo import demo
from latent_agent.errors import LatentAgentError


class _PlainErrors(TyperGroup):
    """Shows our errors as one line instead of a traceback."""

    def invoke(self, ctx: Context) -> Any:
        try:
            return super().invoke(ctx)
        except LatentAgentError as error:
            raise ClickException(str(error)) from error


app = typer.Typer(
    cls=_PlainErrors,
    help="A local chat model that judges its drafts and searches its latents for better answers.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(demo)
app.command()(ask)


@app.callback()
def _root() -> None:  # pyright: ignore[reportUnusedFunction] - typer calls it
    """Keep the commands' names even if only one were left."""
