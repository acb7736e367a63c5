"""The process: one port, one model, a graceful end."""

import socket

import uvicorn

from latent_agent.errors import SettingError
from latent_agent.server.app import make_app
from latent_agent.server.service import Service


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


def run(service: Service, listening: socket.socket, *, deadline: float) -> None:
    """Serve until SIGTERM or SIGINT; requests under way have so many seconds to finish then."""
    config = uvicorn.Config(
        make_app(service),
        http="h11",
        ws="none",
        access_log=False,
        log_level="warning",
        timeout_graceful_shutdown=int(deadline),
    )
    uvicorn.Server(config).run([listening])
