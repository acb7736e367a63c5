"""`latent-agent` for many shell commands out of one warm process.

Importing torch takes seconds, and the docs hold many commands. A server imports once and forks
for each command: the real command line, with the caller's arguments, folder, environment and
streams.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from importlib import import_module
from pathlib import Path

_CLIENT = """\
#!{python} -SE
import json, os, socket, sys
asked = {{"argv": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ)}}
with socket.socket(socket.AF_UNIX) as server:
    server.connect({place!r})
    socket.send_fds(server, [b"-"], [0, 1, 2])
    server.sendall(json.dumps(asked).encode())
    server.shutdown(socket.SHUT_WR)
    sys.exit(int(server.recv(16) or b"70"))
"""


@contextlib.contextmanager
def warm_command(folder: Path) -> Generator[Path]:
    """Give a folder for PATH that holds `latent-agent`."""
    place = str(folder / "server")
    command = folder / "latent-agent"
    command.write_text(_CLIENT.format(python=sys.executable, place=place), "utf-8")
    command.chmod(0o755)
    server = subprocess.Popen([sys.executable, __file__, place])
    try:
        while not Path(place).exists():
            assert server.poll() is None, "the server did not start"
            time.sleep(0.05)
        yield folder
    finally:
        server.terminate()
        server.wait()


# What commands import, and what takes long to.
_IMPORTED = (
    "latent_agent.cli",
    "latent_agent.chat.chat_model",
    "latent_agent.nights.night",
    "transformers.models.llama.modeling_llama",
)


def _serve(place: str) -> None:
    for name in _IMPORTED:
        import_module(name)

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{place}~")
        listening.listen()
        Path(f"{place}~").rename(place)
        while True:
            caller, _ = listening.accept()
            with caller:
                if os.fork() == 0:
                    listening.close()
                    _answer(caller)


def _answer(caller: socket.socket) -> None:
    code = 70
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _, streams, _, _ = socket.recv_fds(caller, 1, 3)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        asked = json.loads(b"".join(iter(lambda: caller.recv(65536), b"")))
        os.chdir(asked["cwd"])
        os.environ.clear()
        os.environ.update(asked["env"])
        sys.argv = ["latent-agent", *asked["argv"]]
        code = _code()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        caller.sendall(str(code).encode())
        os._exit(0)


def _code() -> int:
    from latent_agent.cli import main

    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


if __name__ == "__main__":
    _serve(sys.argv[1])
