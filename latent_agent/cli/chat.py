"""``latent-agent chat``: a conversation on a terminal."""

import sys
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import REWARDS, MaxIterations, MemoryAt, built_in_reward
from latent_agent.errors import SettingError
from latent_agent.model.options import LoadOptions

if TYPE_CHECKING:
    from latent_agent.cli.conversation.partner import Partner


@opens_model
def chat(
    model: Annotated[
        str | None,
        typer.Option(
            help="'bundled' (the default), a Hugging Face id, a folder, or a GGUF file; with --url "
            "the server's name for it, by default the first it lists."
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server, such as http://localhost:8000/v1."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            envvar="LATENT_AGENT_API_KEY",
            show_envvar=True,
            help="The server's key. Others may see a command's options: better in the environment.",
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="default, latentseek, latentevolve, or auto: as calibrated.")
    ] = None,
    max_iterations: MaxIterations = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is greedy; by default the recipe's or the server's.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(help="Longest answer.")] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds; best answer so far.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all sampling.")] = None,
    reward: Annotated[str, typer.Option(help=f"{REWARDS} Of a model in this process.")] = "self",
    at: MemoryAt = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Recall nothing, store nothing.")
    ] = False,
    namespace: Annotated[str | None, typer.Option(help="Whose conversation it is.")] = None,
    opened: LoadOptions = USUAL,
) -> None:
    """Talk with a model, in this process or at a server; rate and correct its answers.

    /why shows how the last answer came about, /up and /down rate it, /correct corrects it, /new
    begins anew, /quit leaves. Without a terminal each line of stdin is a question or a command, and
    the answers go to stdout; exit code 1 if a line came to nothing.
    """
    from latent_agent.cli.conversation.lines import Piped, Typed
    from latent_agent.cli.conversation.screen import Screen
    from latent_agent.cli.conversation.talk import COMMANDS, Talk

    standard = {"temperature": temperature, "max_tokens": max_tokens, "seed": seed}
    ours = {
        "recipe": recipe, "max_iterations": max_iterations, "timeout": timeout,
        "namespace": namespace,
    }  # fmt: skip
    if url is None:
        memory = None if no_memory else at or "default"
        arguments = {**_given(standard), **_given(ours), **opened.given}
        partner = _in_process(model or "bundled", reward=reward, memory=memory, **arguments)
    else:
        local = {"--reward": reward != "self", "--memory": at, "--no-memory": no_memory}
        _refuse([*(name for name, one in local.items() if one), *_options(opened)])
        from latent_agent.cli.conversation.at_server import AtServer

        partner = AtServer(url, key, model, _given(standard), _given(ours))
    terminal = sys.stdin.isatty() and sys.stdout.isatty()
    lines = Typed(COMMANDS) if terminal else Piped()
    with closing(partner):
        partner.open()
        talk = Talk(partner, lines, Screen(terminal=terminal))
        talk.run()
    if talk.failed and not terminal:
        raise typer.Exit(1)


def _in_process(model: str, *, reward: str, **arguments: Any) -> "Partner":
    from latent_agent.chat.chat_model import ChatLatentSeek
    from latent_agent.cli.conversation.in_process import InProcess

    return InProcess(ChatLatentSeek(model=model, reward=built_in_reward(reward), **arguments))


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _options(opened: LoadOptions) -> list[str]:
    return [f"--{name.replace('_', '-')}" for name in opened.given]


def _refuse(local: list[str]) -> None:
    """Refuse options of a model in this process beside a server's URL."""
    if local:
        raise SettingError(
            f"a server must not be given options of a model in this process, got --url and "
            f"{', '.join(local)}; leave them out, or leave out --url"
        )
