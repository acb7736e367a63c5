"""What forked children answer, a line a scenario.

``python -m tests.support.forking_process PATH``.

A child that does not answer in time is killed, and its scenario says ``hangs``.
"""

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from apscheduler.triggers.interval import IntervalTrigger

from latent_agent import ChatLatentSeek, LatentSeekEmbeddings
from latent_agent.call import answer_format as form
from latent_agent.model import registry as shared_model
from latent_agent.model.transformers_engine.batched_cache import SequenceGroup
from latent_agent.model.transformers_engine.preallocated_cache import PreallocatedCache
from latent_agent.nights.scheduler import Nights
from latent_agent.recall import open_memory as memories
from latent_agent.settings import settings_for
from latent_agent.telemetry import calls
from latent_memory import LatentMemory
from latent_memory import fork_guard as forks
from tests.support.engines import transformers_engine

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
LIMIT = 10.0  # seconds; an answer takes a tenth of one


def in_child(work: Callable[[], object]) -> str:
    """Return what a forked child makes of some work."""
    told, tell = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = str(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(tell, said.replace("\n", " ").encode())
        os._exit(0)
    os.close(tell)
    until = time.monotonic() + LIMIT
    while os.waitpid(child, os.WNOHANG)[0] == 0:
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(told)
            return "hangs"
        time.sleep(0.01)
    with os.fdopen(told, "rb") as said_by_it:
        return said_by_it.read().decode()


def busily(work: Callable[[], str], times: int, memory: Path | None = None) -> str:
    """Do work so many times while other threads ask; return all that it says."""
    stop = threading.Event()
    chat = ChatLatentSeek(model="bundled", memory=memory, max_tokens=12, archive=-1.0)

    def ask(number: int) -> None:
        while not stop.is_set():
            chat.invoke(f"{QUESTION} {number}")

    with ThreadPoolExecutor(3) as threads:
        asking = [threads.submit(ask, number) for number in range(3)]
        try:
            time.sleep(0.2)
            said = {work() for _ in range(times)}
        finally:
            stop.set()
        for one in asking:
            one.result()
    return ",".join(sorted(said))


def while_held(hold: AbstractContextManager[Any], work: Callable[[], object]) -> str:
    """Return what a child says that is forked while another thread holds something."""
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with hold:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    inside.wait()
    try:
        return in_child(work)
    finally:
        leave.set()
        thread.join()


class Scenarios:
    """All that is tried, after the bundled model has answered with two of torch's threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        torch.set_num_threads(2)
        self.chat = ChatLatentSeek(model="bundled", memory=None, max_iterations=0, max_tokens=8)
        self.right = self.chat.invoke(QUESTION).text
        self.model = shared_model.open_model("bundled")

    def answers(self) -> str:
        text = self.chat.invoke(QUESTION).text
        return "answers" if text == self.right else f"says {text!r}"

    def all(self) -> Mapping[str, Callable[[], str]]:
        """Return the scenarios by name."""
        return {
            "a call": lambda: in_child(self.answers),
            "a call in a thread": lambda: in_child(self.in_thread),
            "a stream of drafts": lambda: in_child(self.drafted),
            "a child of a child": lambda: in_child(lambda: in_child(self.answers)),
            "torch's other pool": self.inter_op,
            "a backward pass": lambda: in_child(backward),
            "embeddings": lambda: in_child(embedded),
            "the same event loop": self.same_loop,
            "a fork within a call": self.within_a_call,
            "others ask": lambda: busily(lambda: in_child(self.answers), 4),
            "others ask, with a memory": self.with_memory,
            "a transaction": self.in_transaction,
            "a stream begun by the parent": self.begun,
            "nights of the parent": self.nights,
            "a model on a GPU": self.on_gpu,
            **{
                f"while another thread holds {name}": partial(self.held, name)
                for name in self.holds()
            },
        }

    def holds(self) -> Mapping[str, AbstractContextManager[Any]]:
        """Return what another thread may hold at a fork."""
        group = SequenceGroup(cache=PreallocatedCache())
        scheduler = transformers_engine(self.model).scheduler
        busy = settings_for(max_calls=1, max_waiting=1)
        return {
            "the registry of models": shared_model._shared_lock,
            "the model": self.model._lock,
            "the model's pass": scheduler.alone(),
            "a group": scheduler.joined(group, keep=False),
            "a turn": self.model.queue.turn(busy, threading.Event()),
            "the queue": self.model.queue._changed,
            "the batch": scheduler._changed,
            "the grammars": form._lock,
            "the warnings": calls._lock,
            "the memories": memories._lock,
        }

    def held(self, name: str) -> str:
        return while_held(self.holds()[name], lambda: self.takes(name))

    def takes(self, name: str) -> str:
        """Take what another thread held, and answer."""
        with self.holds()[name]:
            pass
        return self.answers()

    def in_thread(self) -> str:
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self.answers).result()

    def drafted(self) -> str:
        chunks = self.chat.stream(QUESTION, stream_draft=True)
        text = "".join(chunk.text for chunk in chunks)
        return "answers" if text == self.right else f"says {text!r}"

    def inter_op(self) -> str:
        future: Any = torch.jit.fork(torch.add, torch.ones(2), torch.ones(2))
        torch.jit.wait(future)
        return in_child(self.answers)

    def same_loop(self) -> str:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(self.chat.ainvoke(QUESTION))
        said = in_child(
            lambda: loop.run_until_complete(self.chat.ainvoke(QUESTION)).text == self.right
        )
        loop.close()
        return said

    def within_a_call(self) -> str:
        said: list[str] = []

        def forks(question: str, answer: str) -> float:
            if not said:
                said.append(in_child(self.answers))
            return -0.5

        chat = ChatLatentSeek(
            model="bundled", memory=None, reward=forks, max_tokens=8, max_waiting=1, max_calls=1
        )
        chat.invoke(QUESTION)
        return said[0]

    def with_memory(self) -> str:
        chat = ChatLatentSeek(model="bundled", memory=self.path, archive=-1.0)
        chat.invoke(QUESTION)

        def remembers() -> str:
            told = chat.invoke(QUESTION).response_metadata["latent_agent"]
            return f"{told['memory_error']} {told['trace_id'] is not None}"

        said = busily(lambda: in_child(remembers), 3, self.path)
        with LatentMemory(self.path) as memory:
            return f"{said} {memory.verify()}"

    def in_transaction(self) -> str:
        forks._PATIENCE = 0.1
        with LatentMemory(self.path) as memory:
            return while_held(memory.database.write(), memory.shelves)

    def begun(self) -> str:
        chunks = self.chat.stream(QUESTION, stream_draft=True)
        next(chunks)
        said = in_child(lambda: list(chunks))
        list(chunks)
        return said

    def nights(self) -> str:
        nights = Nights(lambda: None, IntervalTrigger(seconds=1000))
        nights.start()
        said = while_held(nights._scheduler._jobstores_lock, nights.stop)
        nights.stop()
        return said

    def on_gpu(self) -> str:
        engine = self.model.engine()
        engine.survives_fork, engine.place = False, "a GPU"  # as far as a fork is concerned
        said = in_child(self.answers)
        engine.survives_fork, engine.place = True, "the CPU"
        return said


def backward() -> str:
    weight = torch.ones(300, 300, requires_grad=True)
    (weight @ weight).exp().sum().backward()
    return f"{weight.grad is not None}"


def embedded() -> str:
    return f"{len(LatentSeekEmbeddings(model='bundled').embed_query(QUESTION))}"


def main(path: Path) -> None:
    """Print what comes of each scenario."""
    for name, work in Scenarios(path).all().items():
        print(f"{name}: {work()}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
