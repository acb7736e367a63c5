"""``latent-agent serve``: the OpenAI-compatible server; ``serve-key``: a key for it."""

from pathlib import Path
from typing import Annotated

import typer

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import MemoryAt, Model
from latent_agent.model.options import LoadOptions


@opens_model
def serve(
    model: Model = "bundled",
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0: any that is free.", min=0, max=65535)] = 8321,
    keys: Annotated[
        Path | None, typer.Option(help="File of API keys; by default LATENT_AGENT_API_KEYS.")
    ] = None,
    at: MemoryAt = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Recall nothing, store nothing.")
    ] = False,
    opened: LoadOptions = USUAL,
) -> None:
    """Serve a model to any client of OpenAI's API; it remembers, takes ratings and learns."""
    from latent_agent.chat.chat_model import ChatLatentSeek
    from latent_agent.recall.open_memory import open_memory
    from latent_agent.server.keys import Keys
    from latent_agent.server.run import bound, run
    from latent_agent.server.service import Service

    listening = bound(host, port)
    chat = ChatLatentSeek(
        model=model, memory=None if no_memory else at or "default", **opened.given
    )
    service = Service(
        chat=chat,
        memory=open_memory(chat.memory, chat.memory_mode),
        keys=Keys.from_environment() if keys is None else Keys.read(keys),
        model=Path(model).name.removesuffix(".gguf"),
    )
    name, number = listening.getsockname()[:2]
    typer.echo(f"http://{name}:{number}", err=True)
    run(service, listening, deadline=30)
