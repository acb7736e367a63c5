"""``latent-agent serve``: the OpenAI-compatible server; ``serve-key``: a key for it."""

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from latent_agent.cli.opening import USUAL, opens_model
from latent_agent.cli.options import (
    ChatRecipe,
    MaxIterations,
    MemoryAt,
    Model,
    Quiet,
    RewardName,
    built_in_reward,
)
from latent_agent.errors import SettingError
from latent_agent.model.options import LoadOptions
from latent_agent.setting_rules import parse_setting
from latent_agent.settings import CALLS, RULES

if TYPE_CHECKING:
    from latent_agent.server.keys import Keys
    from latent_agent.server.service import Service

_NEEDED = ("fastapi", "prometheus_client", "uvicorn")
KeysAt = Annotated[
    Path | None, typer.Option(help="File of API keys; by default what LATENT_AGENT_API_KEYS holds.")
]


@opens_model
def serve(
    model: Model = "bundled",
    name: Annotated[
        str | None, typer.Option(help="As requests name the model; by default its last part.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address; others than loopback need keys.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(help="0: any that is free.", min=0, max=65535)] = 8321,
    keys: KeysAt = None,
    at: MemoryAt = None,
    no_memory: Annotated[
        bool, typer.Option("--no-memory", help="Recall nothing, store nothing.")
    ] = False,
    namespace: Annotated[
        str, typer.Option(help="Whose questions those are that name no namespace.")
    ] = "default",
    recipe: ChatRecipe = "default",
    max_iterations: MaxIterations = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="Another setting, name=value; repeatable.")
    ] = None,
    reward: RewardName = "self",
    at_once: Annotated[int, typer.Option(help="Calls answered at once.", min=1)] = CALLS,
    waiting: Annotated[int, typer.Option(help="Calls that may wait beyond those.", min=0)] = 128,
    most_seconds: Annotated[
        float, typer.Option(help="Seconds a request may take.", min=0.1)
    ] = 120.0,
    most_tokens: Annotated[int, typer.Option(help="Tokens of an answer.", min=1)] = 4096,
    most_iterations: Annotated[int, typer.Option(help="Rounds a request may ask for.", min=0)] = 10,
    most_width: Annotated[int, typer.Option(help="Width, and drafts, it may ask for.", min=1)] = 8,
    most_answers: Annotated[int, typer.Option(help="Answers (n) it may ask for.", min=1)] = 8,
    most_characters: Annotated[int, typer.Option(help="Characters of a prompt.", min=1)] = 400_000,
    most_bytes: Annotated[int, typer.Option(help="Bytes of a request.", min=1)] = 2_000_000,
    nights: Annotated[
        str | None, typer.Option(help="Cron expression: nights inside, at these times.")
    ] = None,
    if_new: Annotated[int, typer.Option(help="New traces that make a night due.", min=1)] = 20,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="Web page from elsewhere that may ask (CORS); repeatable."),
    ] = None,
    keep_alive: Annotated[
        float, typer.Option(help="Seconds of silence after which a stream says that it works.")
    ] = 10.0,
    deadline: Annotated[
        int, typer.Option(help="Seconds for requests under way once it is to stop.", min=0)
    ] = 30,
    workers: Annotated[int, typer.Option(help="1; more are refused, with the reason.")] = 1,
    opened: LoadOptions = USUAL,
    quiet: Quiet = False,
) -> None:
    """Serve a model to every client of OpenAI's API: it remembers, takes ratings and learns.

    SIGTERM or Ctrl+C ends it: no new requests, and those under way finish.
    """
    _check_process(workers)
    from latent_agent.chat.chat_model import ChatLatentSeek
    from latent_agent.recall.open_memory import open_memory
    from latent_agent.server.app import make_app
    from latent_agent.server.loading import load
    from latent_agent.server.run import bound, run
    from latent_agent.server.service import Bounds, Service

    known = _keys(keys, host)
    given = dict(parse_setting(text, RULES) for text in set_ or ())
    given |= {} if max_iterations is None else {"max_iterations": max_iterations}
    chat = ChatLatentSeek(
        **{"max_tokens": min(1024, most_tokens), **given},
        model=model,
        recipe=recipe,
        reward=built_in_reward(reward),
        memory=None if no_memory else at or "default",
        namespace=namespace,
        max_calls=at_once,
        max_waiting=waiting,
        **opened.given,
    )
    service = Service(
        chat=chat,
        memory=open_memory(chat.memory, chat.memory_mode),
        keys=known,
        bounds=Bounds(
            seconds=most_seconds,
            tokens=most_tokens,
            iterations=most_iterations,
            width=most_width,
            answers=most_answers,
            characters=most_characters,
            body=most_bytes,
        ),
        model=name or Path(model).name.removesuffix(".gguf"),
        origins=tuple(allow_origin or ()),
        keep_alive=keep_alive,
        nights=nights,
        if_new=if_new,
    )
    _check_nights(service)
    app, listening = make_app(service), bound(host, port)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.WARNING)
    logging.getLogger("latent_agent.server").setLevel(logging.WARNING if quiet else logging.INFO)
    _say(service, *listening.getsockname()[:2])
    try:
        run(app, listening, lambda: load(service.shared), deadline=deadline)
    finally:
        chat.close()
        if service.memory is not None:
            service.memory.close()


def serve_key(
    name: Annotated[str, typer.Argument(help="Whose key it is; stands in logs and metrics.")],
    keys: Annotated[Path, typer.Option(help="File that it is added to; made if there is none.")],
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Reaches this namespace; repeatable. By default one of its name."),
    ] = None,
    every_namespace: Annotated[
        bool, typer.Option("--every-namespace", help="Reaches all of them.")
    ] = False,
    right: Annotated[
        list[str] | None,
        typer.Option(help="ask, rate, read or operate; repeatable. By default ask and rate."),
    ] = None,
    requests_per_minute: Annotated[
        int | None, typer.Option(help="At most; by default no limit.", min=1)
    ] = None,
    max_waiting: Annotated[
        int | None, typer.Option(help="Unanswered requests at once.", min=1)
    ] = None,
) -> None:
    """Make an API key: the secret goes to stdout, this once; its hash is what the file keeps."""
    from latent_agent.server.keys import Right, add_key, hash_of, new_secret, written_key

    rights = [Right.ASK, Right.RATE] if right is None else right
    secret = new_secret()
    key = written_key(
        name=name,
        sha256=hash_of(secret),
        namespaces=None if every_namespace else namespace or [name],
        rights=rights,
        requests_per_minute=requests_per_minute,
        max_waiting=max_waiting,
    )
    add_key(keys, key)
    typer.echo(f"added to {keys}; the secret is shown this once:", err=True)
    typer.echo(secret)


def _check_process(workers: int) -> None:
    """Refuse what one process cannot be.

    Raises:
        SettingError: If there are to be several, or what serves is not installed.
    """
    if workers != 1:
        raise SettingError(
            f"a server must be one process, got workers={workers}: each would hold the model's "
            "weights again, and calls share the model's passes only within one; start servers on "
            "other ports, on the same --memory, if one is too slow"
        )
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise SettingError(
            f"the server must be installed, got no {', '.join(missing)}; run: pip install "
            "'latent-agent[server]'"
        )


def _keys(path: Path | None, host: str) -> "Keys | None":
    from latent_agent.server.access import LOOPBACK
    from latent_agent.server.keys import KEYS_VARIABLE, Keys

    known = Keys.from_environment() if path is None else Keys.read(path)
    if known is None and host not in LOOPBACK:
        raise SettingError(
            f"without keys only this machine may be served, got host {host!r}; give --keys FILE "
            f"(latent-agent serve-key makes one) or {KEYS_VARIABLE}, or leave --host out"
        )
    return known


def _check_nights(service: "Service") -> None:
    if service.nights is not None and service.memory is None:
        raise SettingError(
            f"nights need a memory, got --nights {service.nights!r} without one; leave one out"
        )


def _say(service: "Service", host: str, port: int) -> None:
    at = f"[{host}]" if ":" in host else host
    memory: Any = "no memory" if service.memory is None else service.memory.place
    who = "this machine alone, without keys" if service.keys is None else "whoever has a key"
    typer.echo(
        f"{service.model} on http://{at}:{port}/v1, for {who}; remembers in {memory}", err=True
    )
