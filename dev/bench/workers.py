"""Each part in a process of its own, so that its peak memory is its own; one runs at a time."""

import multiprocessing
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

import torch
from transformers import DynamicCache

from dev.bench.floor import Floor
from dev.bench.parts import PARTS
from dev.bench.peak import forget_peak, peak_bytes
from dev.bench.plan import Bench, Plan
from dev.bench.record import Record, record
from latent_agent.errors import LatentAgentError


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a part: wall and processor seconds, forwarded tokens, peak memory, answers."""

    seconds: float
    cpu_seconds: float
    forwarded: int
    peak_bytes: int
    answers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """A model's sizes, its torch threads, and what its calls must read and write."""

    parameters: int
    vocabulary: int
    hidden_size: int
    device: str
    threads: int
    records: Sequence[Record]


class Worker:
    """A process that holds the model and runs one part when asked.

    Args:
        name: Of the part; ``record`` loads the model and makes each call once.
        plan: The work.
        records: What calls must read and write.
    """

    def __init__(self, name: str, plan: Plan, records: Sequence[Record] = ()) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, name, plan, tuple(records)), daemon=True
        )
        self._process.start()
        theirs.close()

    def result(self) -> Any:
        """Wait for what the process sends next; its own errors are raised here.

        Raises:
            LatentAgentError: If the part cannot be measured, or the process ended.
        """
        try:
            found = self._ours.recv()
        except EOFError as end:
            self._process.join()
            raise LatentAgentError(
                f"a part must end by itself, but its process ended with code "
                f"{self._process.exitcode}; it may have run out of memory, so choose a smaller "
                "--shape or fewer --parts"
            ) from end
        if isinstance(found, LatentAgentError):
            raise found
        return found

    def run(self) -> Run:
        """Do the work once."""
        self._ours.send("run")
        return self.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ours.close()
        self._process.join(10)
        self._process.terminate()


def load(plan: Plan, *, recorded: bool = True) -> Loaded:
    """Load the model in a process of its own, and record its calls there if that is wanted."""
    with Worker("record" if recorded else "load", plan) as worker:
        return worker.result()


def _work(pipe: Connection, name: str, plan: Plan, records: Sequence[Record]) -> None:
    try:
        with Bench(plan) as bench:
            _serve(pipe, name, bench, records)
    except LatentAgentError as error:
        pipe.send(error)


def _serve(pipe: Connection, name: str, bench: Bench, records: Sequence[Record]) -> None:
    if name in ("record", "load"):
        pipe.send(_loaded(bench, recorded=name == "record"))
        return
    part = PARTS[name](bench, records)
    Floor(bench.model, bench.tokenizer).generate([[0, 1]], DynamicCache(), 3)  # torch warms up
    forget_peak()
    pipe.send("ready")
    while _asked(pipe):
        began, worked = time.perf_counter(), time.process_time()
        done = part()
        pipe.send(
            Run(
                seconds=time.perf_counter() - began,
                cpu_seconds=time.process_time() - worked,
                forwarded=done.forwarded,
                peak_bytes=peak_bytes(),
                answers=done.answers,
            )
        )


def _asked(pipe: Connection) -> bool:
    try:
        pipe.recv()
    except EOFError:
        return False
    return True


def _loaded(bench: Bench, *, recorded: bool) -> Loaded:
    config: Any = bench.model.config.get_text_config()
    return Loaded(
        parameters=bench.parameters(),
        vocabulary=config.vocab_size,
        hidden_size=config.hidden_size,
        device=str(bench.model.device),
        threads=torch.get_num_threads(),
        records=record(bench) if recorded else (),
    )
