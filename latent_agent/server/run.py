"""The process: one port, one model, a graceful end."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from latent_agent.errors import SettingError
from latent_agent.server.protocol import ImpatientProtocol

_ENDING = (signal.SIGTERM, signal.SIGINT)
_FILES = 65_536  # open files, so that idle connections leave room for others


def bound(host: str, port: int) -> socket.socket:
    """Take a port.

    Raises:
        SettingError: If it cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
    except OSError as error:
        taken.close()
        raise SettingError(
            f"a server must have a port of its own, got {host}:{port} ({error.strerror}); stop "
            "what listens there, or give another --port (0: any that is free)"
        ) from error
    return taken


def run(
    app: FastAPI, listening: socket.socket, load: Callable[[], object], *, deadline: float
) -> None:
    """Serve until SIGTERM or SIGINT; requests under way have so many seconds to finish then.

    Args:
        app: What answers.
        listening: Where it listens.
        load: Reads the model's weights, meanwhile; what it raises ends the server.
        deadline: Seconds.
    """
    _allow_files()
    config = uvicorn.Config(
        app,
        http=ImpatientProtocol,
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(deadline),
    )
    server, failures = uvicorn.Server(config), list[BaseException]()

    def loading() -> None:
        try:
            load()
        except BaseException as failure:
            failures.append(failure)
            server.should_exit = True

    threading.Thread(target=loading, daemon=True).start()
    with _signals_end_nothing_else():
        server.run([listening])
    if failures:
        raise failures[0]


@contextmanager
def _signals_end_nothing_else() -> Generator[None]:
    """Uvicorn sends the signal that ended it again, which would end the process in its midst."""

    def ignore(_number: int, _frame: object) -> None: ...

    before = {number: signal.signal(number, ignore) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _allow_files() -> None:
    if os.name != "posix":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _FILES if hard == resource.RLIM_INFINITY else min(hard, _FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
