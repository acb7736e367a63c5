"""Slow and rude clients beside polite ones: ``python -m tests.server.rude --clients 200``.

Polite clients ask alone first, then beside clients that stop reading, hang up in the middle of a
stream, send 100 MB, half a JSON or too many headers, and a thousand connections that say nothing.
Their median may double at most. Once all rude clients have gone, the server must be idle at once.

The rude ones share a key, as one owner's clients do, with the bound of ``--max-waiting``; with 0
there are no keys, so that nothing tells the two apart.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from latent_agent.server.keys import hash_of, new_secret
from tests.crash.check import require
from tests.support.served import Served, asked, served

LONG = {  # a grammar holds the model to a long answer
    "type": "json_schema",
    "json_schema": {
        "name": "long",
        "schema": {"type": "array", "items": {"type": "integer"}, "minItems": 900},
    },
}


@dataclass
class Place:
    """Where a server listens."""

    host: str
    port: int
    key: str
    done: Counter[str] = field(default_factory=Counter)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)

    def head(self, length: int) -> bytes:
        lines = (
            "POST /v1/chat/completions HTTP/1.1",
            "host: 127.0.0.1",
            f"authorization: Bearer {self.key}",
            "content-type: application/json",
            f"content-length: {length}",
        )
        return "\r\n".join((*lines, "", "")).encode()

    def request(self, **given: Any) -> bytes:
        body = json.dumps(asked(stream=True, **given)).encode()
        return self.head(len(body)) + body


async def stops_reading(place: Place) -> None:
    """Asks, and reads nothing of the answer for a while."""
    _, writer = await place.connect()
    writer.write(place.request(latent_agent={"progress": True}))
    await writer.drain()
    await asyncio.sleep(2)
    writer.close()


async def hangs_up(place: Place) -> None:
    """Asks for much, and hangs up while it is written."""
    _, writer = await place.connect()
    writer.write(place.request(max_tokens=3000, response_format=LONG))
    await writer.drain()
    await asyncio.sleep(random.uniform(0.05, 0.5))
    writer.transport.abort()


async def sends_much(place: Place) -> None:
    """Sends 100 MB, as far as it may."""
    reader, writer = await place.connect()
    writer.write(place.head(100_000_000))
    for _ in range(100):
        if writer.transport.is_closing():  # a stream tells of it by no error
            return
        writer.write(b"x" * 1_000_000)
        await writer.drain()
    require(b" 413 " in await reader.read(100), "100 MB were not refused")


async def sends_half(place: Place) -> None:
    """Sends half a JSON, waits, and hangs up."""
    _, writer = await place.connect()
    writer.write(place.head(1000) + b'{"model": "bundled", "mess')
    await writer.drain()
    await asyncio.sleep(random.uniform(0.5, 2))
    writer.close()


async def sends_headers(place: Place) -> None:
    """Sends headers without end."""
    _, writer = await place.connect()
    writer.write(place.head(0)[:-2])
    for number in range(200):
        if writer.transport.is_closing():
            return
        writer.write(b"x-%d: y\r\n" % number * 100)
        await writer.drain()
        await asyncio.sleep(0.001)
    writer.close()


KINDS: tuple[Callable[[Place], Awaitable[None]], ...] = (
    stops_reading, hangs_up, sends_much, sends_half, sends_headers,
)  # fmt: skip


async def rude(place: Place, clients: int, idle: int) -> None:
    """Be rude, so many at once, until somebody says that it is enough."""
    held = [await place.connect() for _ in range(idle)]
    place.done["idle"] = len(held)
    stop = asyncio.Event()

    async def one(number: int) -> None:
        kind = KINDS[number % len(KINDS)]
        await asyncio.sleep(random.uniform(0, 2))
        while not stop.is_set():
            with contextlib.suppress(OSError):  # the server closes the connection, as it should
                await kind(place)
            place.done[kind.__name__] += 1
            await asyncio.sleep(1)

    tasks = asyncio.gather(*(one(number) for number in range(clients)))
    await asyncio.to_thread(sys.stdin.read)
    stop.set()
    await tasks
    for _, writer in held:
        writer.close()


@contextmanager
def rude_clients(server: Served, key: str, clients: int, idle: int) -> Generator[Counter[str]]:
    """Let clients be rude in a process of their own; count what they did."""
    host, port = server.url.removeprefix("http://").split(":")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.server.rude", "--at", host, port, key),
            *("--clients", str(clients), "--idle", str(idle)),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    done: Counter[str] = Counter()
    try:
        yield done
    finally:
        done.update(json.loads(process.communicate()[0]))


def polite(server: Served, seconds: float, clients: int = 2) -> list[float]:
    """Ask as one should; return the seconds of each answer."""
    took: list[float] = []
    until = time.monotonic() + seconds

    def work() -> None:
        while time.monotonic() < until:
            began = time.monotonic()
            answer = server.ask(latent_agent={"max_iterations": 0})
            require(answer.status_code == 200, answer.text)
            took.append(time.monotonic() - began)

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return took


def busy_seconds(server: Served, wait: float) -> float:
    """How much CPU time the server takes in a while."""

    def spent() -> float:
        fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    before = spent()
    time.sleep(wait)
    return spent() - before


def run(clients: int, idle: int, seconds: float, max_waiting: int = 1) -> dict[str, Any]:
    """Measure polite clients alone, then beside rude ones."""
    with tempfile.TemporaryDirectory() as folder:
        options, secrets = [], {"polite": "none", "rude": "none"}
        if max_waiting:
            secrets = {name: new_secret() for name in secrets}
            keys: list[dict[str, Any]] = [
                {"name": name, "sha256": hash_of(secret), "namespaces": [name]}
                for name, secret in secrets.items()
            ]
            keys[1]["max_waiting"] = max_waiting
            file = Path(folder, "keys.json")
            file.touch(0o600)
            file.write_text(json.dumps(keys))
            options = ["--keys", file]
        with served(*options, memory=Path(folder, "m.db")) as server:
            server.key = secrets["polite"]
            polite(server, min(seconds, 5))
            alone = polite(server, seconds)
            with rude_clients(server, secrets["rude"], clients, idle) as done:
                time.sleep(4)  # until all are there
                beside = polite(server, seconds)
            time.sleep(0.5)
            after = busy_seconds(server, 2.0)
            code = server.end()
    return {
        "rude": dict(done),
        "alone": _told(alone),
        "beside": _told(beside),
        "ratio": round(median(beside) / median(alone), 2),
        "busy_seconds_after": round(after, 2),
        "exit_code": code,
    }


def _told(took: list[float]) -> dict[str, float]:
    cuts = quantiles(took, n=20)
    return {"answers": len(took), "p50": round(median(took), 4), "p95": round(cuts[18], 4)}


def main() -> None:
    """Be rude as asked; exit with 1 if others suffer more than they may."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.rude", description=__doc__)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--idle", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--max-waiting", type=int, default=1, help="of the rude clients' key")
    parser.add_argument(
        "--at", nargs=3, metavar=("HOST", "PORT", "KEY"), help="only be rude, until stdin ends"
    )
    given = parser.parse_args()
    if given.at is not None:
        host, port, key = given.at
        place = Place(host, int(port), key)
        asyncio.run(rude(place, given.clients, given.idle))
        sys.stdout.write(json.dumps(place.done))
        return
    told = run(given.clients, given.idle, given.seconds, given.max_waiting)
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    if told["ratio"] > 2 or told["busy_seconds_after"] > 0.5:
        sys.exit(1)


if __name__ == "__main__":
    main()
