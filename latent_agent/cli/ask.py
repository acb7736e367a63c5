"""``latent-agent ask``: one question, one answer, and how it came about."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import (
    ChatRecipe,
    Json,
    MaxIterations,
    MemoryAt,
    Model,
    RewardName,
    built_in_reward,
)
from latent_agent.cli.way import way_table
from latent_agent.model.options import LoadOptions

if TYPE_CHECKING:
    from latent_agent.chat.chat_model import ChatLatentSeek


@opens_model
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    model: Model = "bundled",
    recipe: ChatRecipe = "default",
    max_iterations: MaxIterations = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is greedy; by default the recipe's.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 1024,
    timeout: Annotated[float | None, typer.Option(help="Seconds; best answer so far.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all sampling.")] = 0,
    reward: RewardName = "self",
    at: MemoryAt = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Recall nothing, store nothing.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="Whose question it is.")] = "default",
    opened: LoadOptions = USUAL,
    as_json: Json = False,
) -> None:
    """Ask one question; the answer goes to stdout, how it came about to stderr.

    The draft is shown on stderr word by word, while it is made.
    """
    from latent_agent.chat.chat_model import ChatLatentSeek

    chat = ChatLatentSeek(
        model=model,
        recipe=recipe,
        max_iterations=max_iterations,
        temperature=temperature,
        max_tokens=max_tokens,
        timeout=timeout,
        seed=seed,
        reward=built_in_reward(reward),
        memory=None if no_memory else at or "default",
        namespace=namespace,
        stream_draft=not as_json,
        **opened.given,
    )
    if as_json:
        message = chat.invoke(question)
        trace = message.response_metadata["latent_agent"]
        typer.echo(json.dumps({"answer": message.text, **trace}, ensure_ascii=False))
        return
    message = _streamed(chat, question)
    trace = message.response_metadata["latent_agent"]
    Console(stderr=True).print(way_table(trace, lambda _trace: None))
    typer.echo(message.text)


def _streamed(chat: "ChatLatentSeek", question: str) -> Any:
    """Show the draft as it is made; return the whole answer."""
    console, message = Console(stderr=True, highlight=False), None
    for chunk in chat.stream(question):
        draft = chunk.additional_kwargs.get("draft")
        if draft is not None:
            if message is None:
                console.print(" [dim]draft[/dim] ", end="")
            console.print(draft, end="", markup=False, soft_wrap=True)
        message = chunk if message is None else message + chunk
    if message is not None and "draft" in message.additional_kwargs:
        console.print()
    return message
