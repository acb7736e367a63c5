"""A server killed under load, again and again: ``python -m tests.server.kills --kills 100``.

Clients ask and rate until SIGKILL. Whatever was acknowledged must be in the memory then, and the
memory in order; the next server must be ready within five seconds beside loading the model.
"""

import argparse
import random
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from latent_agent.teaching import questions
from latent_memory import LatentMemory
from tests.crash.check import require
from tests.support.served import PATIENCE, Served, served

CLIENTS = 8
LONGEST = 5.0  # seconds that a server is at work until it is killed
RESTART = 5.0  # seconds that it may take to be ready, beside loading the model


@dataclass
class Acknowledged:
    """What servers said that they had done.

    Attributes:
        answers: Texts by the id under which they are kept.
        ratings: Comments by the id of the answer.
    """

    answers: dict[int, str] = field(default_factory=dict)
    ratings: dict[int, list[str]] = field(default_factory=dict)


def run(kills: int, folder: Path, seed: int, restart: float = RESTART) -> Iterator[str]:
    """Kill a server so often; yield what was there each time.

    Raises:
        AssertionError: If something acknowledged is lost, the memory is damaged, or a server takes
            too long to come back.
    """
    rng, memory, known = random.Random(seed), folder / "memory.sqlite3", Acknowledged()
    restarts: list[float] = []
    for turn in range(1, kills + 1):
        with served(memory=memory) as server:
            took = server.ready - _loading(server)
            restarts.append(took)
            _work_until_killed(server, known, rng)
        _check(memory, known)
        yield (
            f"{turn:4d}  ready after {took:.1f} s, {len(known.answers)} answers and "
            f"{sum(map(len, known.ratings.values()))} ratings, all there"
        )
    yield (
        f"{kills} kills: nothing lost; ready after {median(restarts):.1f} s, {max(restarts):.1f} s "
        "at most, beside loading"
    )
    slow = sum(took >= restart for took in restarts)
    require(not slow, f"{slow} restarts took {restart} s or more beside loading")


def _loading(server: Served) -> float:
    found = re.search(r"loading .* ([\d.]+) s", server.log)
    return float(found[1]) if found else 0.0


def _work_until_killed(server: Served, known: Acknowledged, rng: random.Random) -> None:
    lock, ended = threading.Lock(), threading.Event()
    asked = questions("test", n=400, seed=rng.randrange(1000))

    def work(client: int) -> None:
        own = random.Random(client)
        with httpx.Client(base_url=server.url, timeout=PATIENCE) as here:
            while not ended.is_set():
                try:
                    _ask_and_rate(here, own.choice(asked).text, known, lock, own)
                except httpx.TransportError:
                    return

    threads = [threading.Thread(target=work, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(0.2, LONGEST))
    server.process.kill()
    server.process.wait()
    ended.set()
    for thread in threads:
        thread.join()


def _ask_and_rate(
    here: httpx.Client, text: str, known: Acknowledged, lock: threading.Lock, rng: random.Random
) -> None:
    body = {"model": "bundled", "messages": [{"role": "user", "content": text}]}
    answer = here.post("/v1/chat/completions", json=body)
    require(answer.status_code == 200, answer.text)
    told = answer.json()
    number = told["latent_agent"]["answer_id"]
    require(number is not None, f"an answer was not kept: {told['latent_agent']}")
    with lock:
        known.answers[number] = told["choices"][0]["message"]["content"]
    for id in (told["id"], number):
        comment = f"comment {rng.random()}"
        given = {"id": id, "score": rng.choice((0, 0.5, 1)), "comment": comment}
        rated = here.post("/v1/feedback", json=given)
        require(rated.status_code == 200, rated.text)
        with lock:
            known.ratings.setdefault(number, []).append(comment)


def _check(path: Path, known: Acknowledged) -> None:
    with LatentMemory(path) as memory:
        problems = memory.verify()
        require(not problems, f"verify finds {problems}")
        for number, text in known.answers.items():
            stored = memory.get(number)
            require(stored is not None, f"answer {number} is lost")
            require(stored is None or stored.trace.answer == text, f"answer {number} is another")
        for number, comments in known.ratings.items():
            said = [one.feedback.comment for one in memory.feedback(number)]
            require(not set(comments) - set(said), f"a rating of answer {number} is lost")


def main() -> None:
    """Kill as often as asked; exit with 1 as soon as something does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.server.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=None, help="by default a new one")
    parser.add_argument("--restart", type=float, default=RESTART, help="seconds, at most")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp())
    try:
        for line in run(given.kills, folder, given.seed, given.restart):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()
    except AssertionError as error:
        sys.exit(f"{error} (the files are in {folder})")


if __name__ == "__main__":
    main()
