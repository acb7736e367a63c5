"""Many clients at once: ``python -m tests.server.load --clients 32 --minutes 10``.

Each client's question holds a number that no other's does, and its answer must hold that number and
none of the others'. ``--compare`` lets as many threads call the chat model in this process first,
for as long, and says what share of its tokens a second the server reaches.
"""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx

from tests.support.served import PATIENCE, Served, served

FIRST = 41  # the first client's number; the bundled model knows those of two digits


@dataclass(frozen=True)
class Plan:
    """What clients ask.

    Attributes:
        model: A model's name or file.
        clients: How many.
        seconds: How long.
        settings: Of each request, under ``latent_agent``.
        max_tokens: Of each answer.
    """

    model: str = "bundled"
    clients: int = 32
    seconds: float = 600.0
    settings: dict[str, Any] = field(default_factory=dict)
    max_tokens: int = 64

    @property
    def name(self) -> str:
        return Path(self.model).name.removesuffix(".gguf")

    def question(self, client: int) -> str:
        number = FIRST + client
        if self.model == "bundled":
            return (
                f"At first Tom has {number} books. Then Tom loses 12 books. "
                "How many books does Tom have now?"
            )
        return f"Repeat this sentence: The code of the day is {1000 + 37 * number}."

    def token(self, client: int) -> str:
        number = FIRST + client
        return str(number if self.model == "bundled" else 1000 + 37 * number)


@dataclass
class Seen:
    """What clients saw."""

    seconds: list[float] = field(default_factory=list)
    tokens: int = 0
    faults: list[str] = field(default_factory=list)

    def summary(self, wall: float) -> dict[str, Any]:
        cuts = quantiles(self.seconds, n=100) if len(self.seconds) > 1 else [0.0] * 99
        return {
            "requests": len(self.seconds),
            "p50": round(cuts[49], 3),
            "p95": round(cuts[94], 3),
            "p99": round(cuts[98], 3),
            "tokens_a_second": round(self.tokens / wall, 1),
            "requests_a_second": round(len(self.seconds) / wall, 2),
            "faults": self.faults[:10],
        }


Ask = Callable[[int], tuple[str, int]]
"""Takes a client's number; returns its answer and how many tokens that has."""


def drive(plan: Plan, ask: Ask, seconds: float) -> dict[str, Any]:
    """Let all clients ask at once until the time is over."""
    seen, lock = Seen(), threading.Lock()
    tokens = [plan.token(client) for client in range(plan.clients)]
    alone = [_holds(ask(client)[0], tokens) for client in range(plan.clients)]
    began = time.monotonic()

    def work(client: int) -> None:
        while time.monotonic() < began + seconds:
            start = time.monotonic()
            try:
                text, count = ask(client)
                fault = _fault(text, tokens, client, alone[client])
            except (httpx.HTTPError, AssertionError, KeyError) as error:
                text, count, fault = "", 0, f"client {client}: {type(error).__name__} {error}"
            with lock:
                seen.seconds.append(time.monotonic() - start)
                seen.tokens += count
                if fault:
                    seen.faults.append(fault)

    threads = [threading.Thread(target=work, args=(client,)) for client in range(plan.clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = seen.summary(time.monotonic() - began)
    told["checked"] = sum(token in held for token, held in zip(tokens, alone, strict=True))
    return told


def _holds(text: str, tokens: Sequence[str]) -> set[str]:
    return {token for token in tokens if token in text}


def _fault(text: str, tokens: Sequence[str], client: int, alone: set[str]) -> str | None:
    """Compare with what the client was told alone: its number is there, no other's is."""
    held, own = _holds(text, tokens), tokens[client]
    if own in alone and own not in held:
        return f"client {client} misses {own} in {text!r}"
    if others := held - alone - {own}:
        return f"client {client} has {sorted(others)} in {text!r}"
    return None


@contextmanager
def through(server: Served, plan: Plan) -> Generator[Ask]:
    """Ask a server, each client over a connection of its own."""
    with ExitStack() as stack:
        clients = [
            stack.enter_context(httpx.Client(base_url=server.url, timeout=PATIENCE))
            for _ in range(plan.clients)
        ]

        def ask(client: int) -> tuple[str, int]:
            answer = clients[client].post(
                "/v1/chat/completions",
                json={
                    "model": plan.name,
                    "messages": [{"role": "user", "content": plan.question(client)}],
                    "max_tokens": plan.max_tokens,
                    "latent_agent": plan.settings,
                },
            )
            assert answer.status_code == 200, answer.text
            told = answer.json()
            return told["choices"][0]["message"]["content"], told["usage"]["completion_tokens"]

        yield ask


def in_process(plan: Plan, memory: Path) -> Ask:
    """Call the chat model here, with as many threads as there are clients."""
    from latent_agent import ChatLatentSeek

    chat = ChatLatentSeek(
        model=plan.model, memory=memory, max_tokens=plan.max_tokens,
        max_waiting=128, timeout=120.0, **plan.settings,
    )  # fmt: skip

    def ask(client: int) -> tuple[str, int]:
        message = chat.invoke(plan.question(client))
        return message.text, (message.usage_metadata or {"output_tokens": 0})["output_tokens"]

    return ask


def run(plan: Plan, *, compare: bool) -> dict[str, Any]:
    """Load a server, and compare it with the chat model itself if that is wanted."""
    told: dict[str, Any] = {"model": plan.name, "clients": plan.clients}
    with tempfile.TemporaryDirectory() as folder:
        if compare:
            told["in_process"] = drive(plan, in_process(plan, Path(folder, "a.db")), plan.seconds)
        with served("--model", plan.model, "--quiet", memory=Path(folder, "b.db")) as server:
            with through(server, plan) as ask:
                told["server"] = drive(plan, ask, plan.seconds)
            told["exit_code"] = server.end()
    if compare:
        rates = [told[where]["tokens_a_second"] for where in ("server", "in_process")]
        told["share"] = round(rates[0] / rates[1], 3)
    return told


def main() -> None:
    """Run as asked; exit with 1 if an answer failed or was another's."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.load", description=__doc__)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--max-iterations", type=int, default=None)
    parser.add_argument("--compare", action="store_true")
    given = parser.parse_args()
    rounds = given.max_iterations
    plan = Plan(
        model=given.model,
        clients=given.clients,
        seconds=60 * given.minutes,
        settings={} if rounds is None else {"max_iterations": rounds},
    )
    told = run(plan, compare=given.compare)
    sys.stdout.write(json.dumps(told, indent=1) + "\n")
    if told["server"]["faults"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
