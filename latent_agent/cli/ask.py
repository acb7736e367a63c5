"""``latent-agent ask``: one question, one answer, and how it came about."""

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from latent_agent.cli.options import Json, MaxIterations, MemoryAt, Model, Recipe, built_in_reward


def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    model: Model = "bundled",
    recipe: Recipe = "default",
    max_iterations: MaxIterations = None,
    temperature: Annotated[
        float | None, typer.Option(help="0 is greedy; by default the recipe's.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 1024,
    timeout: Annotated[float | None, typer.Option(help="Seconds; best answer so far.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all sampling.")] = 0,
    reward: Annotated[str, typer.Option(help="'self' or module:attribute.")] = "self",
    at: MemoryAt = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Recall nothing, store nothing.")
    ] = False,
    namespace: Annotated[str, typer.Option(help="Whose question it is.")] = "default",
    as_json: Json = False,
) -> None:
    """Ask one question; the answer goes to stdout, how it came about to stderr."""
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
    )
    message = chat.invoke(question)
    trace = message.response_metadata["latent_agent"]
    if as_json:
        typer.echo(json.dumps({"answer": message.text, **trace}, ensure_ascii=False))
        return
    table = Table(show_header=False, box=None, padding=(0, 1))
    for name, text in (
        ("draft", trace["draft"]),
        ("rewards", "  ".join(f"{value:.2f}" for value in trace["rewards"]) or "none"),
        ("steps", f"{trace['iterations']}, stopped by {trace['stopped']}"),
        ("forwarded", ", ".join(f"{n} {stage}" for stage, n in trace["forwarded_tokens"].items())),
        ("from", _origin(trace)),
        ("error", trace["error"] or trace["memory_error"]),
    ):
        if text is not None:
            table.add_row(f"[dim]{name}[/dim]", str(text).replace("[", r"\["))
    Console(stderr=True).print(table)
    typer.echo(message.text)


def _origin(trace: dict[str, Any]) -> str:
    """Say what the answer started from, and under which id it is remembered."""
    neighbours, prior = trace["warm_start"]["neighbours"], trace["warm_start"]["prior"]
    parts = [trace["source"]]
    if neighbours:
        parts.append(f"recalled traces {', '.join(map(str, neighbours))}")
    if prior is not None:
        parts.append(f"prior {prior}")
    if trace["trace_id"] is not None:
        parts.append(f"stored as trace {trace['trace_id']}")
    return "; ".join(parts)
