"""A server in a process of its own."""

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.night_commands import COMMAND

PATIENCE = 120.0  # seconds that a server may take to start or to end
QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


@dataclass
class Served:
    """A server that runs.

    Attributes:
        url: Where.
        process: Its process.
        lines: What it wrote to stderr so far.
        ready: Seconds from its start until it was ready.
        key: Sent with each request.
    """

    url: str
    process: "subprocess.Popen[str]"
    lines: list[str]
    ready: float = 0.0
    key: str = "none"

    @property
    def base(self) -> str:
        """What OpenAI's clients take as ``base_url``."""
        return f"{self.url}/v1"

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def get(self, path: str, **given: Any) -> httpx.Response:
        return httpx.get(self.url + path, headers=self._headers, timeout=PATIENCE, **given)

    def post(self, path: str, body: Any = None, **given: Any) -> httpx.Response:
        given = {"headers": self._headers, "timeout": PATIENCE, **given}
        return httpx.post(self.url + path, **({} if body is None else {"json": body}), **given)

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"} if self.key else {}

    def ask(self, text: str = QUESTION, **given: Any) -> httpx.Response:
        """Ask one question."""
        return self.post("/v1/chat/completions", asked(text, **given))

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)


def asked(text: Any = QUESTION, **given: Any) -> dict[str, Any]:
    """A request's body."""
    return {"model": "bundled", "messages": [{"role": "user", "content": text}], **given}


def events(text: str) -> list[Any]:
    """The events of a stream, without its end mark."""
    found = [line.removeprefix("data: ") for line in text.splitlines() if line]
    assert found[-1] == "[DONE]"
    return [json.loads(one) for one in found[:-1]]


@contextmanager
def served(
    *options: object,
    memory: Path | str | None = None,
    environment: Mapping[str, str] | None = None,
    wait: bool = True,
) -> Generator[Served]:
    """Start a server on the bundled model, and end it."""
    at: Sequence[object] = ["--no-memory"] if memory is None else ["--memory", memory]
    began = time.monotonic()
    process = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0", *map(str, at), *map(str, options)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
    )
    lines: list[str] = []
    listening = threading.Event()

    def read() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if " on http://" in line:
                listening.set()
        listening.set()

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        assert listening.wait(PATIENCE)
        found = re.search(r"on (http://[^ ]+)/v1,", "".join(lines))
        assert found, "".join(lines)
        server = Served(found[1], process, lines)
        if wait:
            wait_until_ready(server)
        server.ready = time.monotonic() - began
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()


def wait_until_ready(server: Served) -> None:
    """Wait until the model is loaded."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        assert server.process.poll() is None, server.log
        try:
            if server.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not ready: {server.log}")
