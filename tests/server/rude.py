"""Slow and rude clients beside polite ones: ``python -m tests.server.rude --clients 200``.

Polite clients ask alone first, then beside clients that stop reading, hang up in the middle of a
stream, send 100 MB, half a JSON or too many headers, and a thousand connections that say nothing.
Their median may double at most. Once all rude clients have gone, the server must be idle at once.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

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
    done: Counter[str] = field(default_factory=Counter)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(self.host, self.port)


def head(length: int, *more: str) -> bytes:
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "host: 127.0.0.1",
        "content-type: application/json",
        f"content-length: {length}",
        *more,
    )
    return "\r\n".join((*lines, "", "")).encode()


def long_request() -> bytes:
    body = json.dumps(asked(stream=True, max_tokens=3000, response_format=LONG)).encode()
    return head(len(body)) + body


async def stops_reading(place: Place) -> None:
    """Asks, and reads nothing of the answer for a while."""
    _, writer = await place.connect()
    body = json.dumps(asked(stream=True, latent_agent={"progress": True})).encode()
    writer.write(head(len(body)) + body)
    await writer.drain()
    await asyncio.sleep(2)
    writer.close()


async def hangs_up(place: Place) -> None:
    """Asks for much, and hangs up while it is written."""
    _, writer = await place.connect()
    writer.write(long_request())
    await writer.drain()
    await asyncio.sleep(random.uniform(0.05, 0.5))
    writer.transport.abort()


async def sends_much(place: Place) -> None:
    """Sends 100 MB, as far as it may."""
    reader, writer = await place.connect()
    writer.write(head(100_000_000))
    for _ in range(100):
        if writer.transport.is_closing():  # a stream tells of it by no error
            return
        writer.write(b"x" * 1_000_000)
        await writer.drain()
    require(b" 413 " in await reader.read(100), "100 MB were not refused")


async def sends_half(place: Place) -> None:
    """Sends half a JSON, waits, and hangs up."""
    _, writer = await place.connect()
    writer.write(head(1000) + b'{"model": "bundled", "mess')
    await writer.drain()
    await asyncio.sleep(random.uniform(0.5, 2))
    writer.close()


async def sends_headers(place: Place) -> None:
    """Sends headers without end."""
    _, writer = await place.connect()
    writer.write(head(0)[:-2])
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


async def rude(place: Place, clients: int, idle: int, stop: threading.Event) -> None:
    """Be rude, so many at once, until it is enough."""
    held = [await place.connect() for _ in range(idle)]
    place.done["idle"] = len(held)

    async def one(number: int) -> None:
        kind = KINDS[number % len(KINDS)]
        await asyncio.sleep(random.uniform(0, 2))
        while not stop.is_set():
            with contextlib.suppress(OSError):  # the server closes the connection, as it should
                await kind(place)
            place.done[kind.__name__] += 1
            await asyncio.sleep(1)

    await asyncio.gather(*(one(number) for number in range(clients)))
    for _, writer in held:
        writer.close()


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


def run(clients: int, idle: int, seconds: float) -> dict[str, Any]:
    """Measure polite clients alone, then beside rude ones."""
    with tempfile.TemporaryDirectory() as folder, served(memory=Path(folder, "m.db")) as server:
        host, port = server.url.removeprefix("http://").split(":")
        place, stop = Place(host, int(port)), threading.Event()
        polite(server, min(seconds, 5))
        alone = polite(server, seconds)
        thread = threading.Thread(target=lambda: asyncio.run(rude(place, clients, idle, stop)))
        thread.start()
        time.sleep(2)
        beside = polite(server, seconds)
        stop.set()
        thread.join()
        time.sleep(0.5)
        after = busy_seconds(server, 2.0)
        code = server.end()
    return {
        "rude": dict(place.done),
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
    given = parser.parse_args()
    told = run(given.clients, given.idle, given.seconds)
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    if told["ratio"] > 2 or told["busy_seconds_after"] > 0.5:
        sys.exit(1)


if __name__ == "__main__":
    main()
