"""Run an evaluation so that a kill while it answers costs at most the answers in hand.

Memory and prior are prepared first, where a method reads them; a kill meanwhile costs all of the
days and nights, which start over.
"""

import json
import os
import random
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

from filelock import FileLock, Timeout

from latent_agent.call.parallel import in_parallel
from latent_agent.errors import EvaluationError
from latent_agent.evaluation.answer_pool import AnswerPool
from latent_agent.evaluation.bench import Bench, attempt
from latent_agent.evaluation.items import Item
from latent_agent.evaluation.meter import Meter
from latent_agent.evaluation.preparing import prepare
from latent_agent.evaluation.records import Record, read_records
from latent_agent.evaluation.specs import Spec
from latent_agent.evaluation.streams import replayed
from latent_agent.nights.job import NightSettings
from latent_agent.nights.watch import Watch
from latent_memory import LatentMemory

RECORDS, SETTINGS, PREPARED = "records.jsonl", "settings.json", "prepared"
FORWARDED = "forwarded.json"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is to be answered.

    Attributes:
        specs: The methods.
        items: The questions.
        seeds: Seeds; each has its own order of the questions.
        days: Training questions, day by day; empty: nothing is trained.
        night: How the night after each day is run.
        at_once: Answers that share the model's passes. A memory that is written along the
            questions needs one after the other, and so has them.
    """

    specs: Sequence[Spec]
    items: Sequence[Item]
    seeds: Sequence[int] = (0,)
    days: Sequence[Sequence[Item]] = ()
    night: NightSettings = field(default_factory=NightSettings)
    at_once: int = 1

    @property
    def total(self) -> int:
        """How many answers that makes."""
        return len(self.specs) * len(self.items) * len(self.seeds)

    def order(self, seed: int) -> list[Item]:
        """Return the questions in the order of a seed."""
        shuffled = list(self.items)
        random.Random(f"order-{seed}").shuffle(shuffled)
        return shuffled

    def steps(self) -> Iterator[tuple[int, int, Item, Spec]]:
        """Yield seed, place, item and method, in the order in which they are answered."""
        for seed in self.seeds:
            for place, item in enumerate(self.order(seed)):
                for spec in self.specs:
                    yield seed, place, item, spec


@dataclass(frozen=True, kw_only=True)
class Finished:
    """The results of an evaluation.

    Attributes:
        records: What was answered.
        prepared: How the training days went, if there were any.
        tokens: What the answers cost, ``charged`` as if each method ran alone, and ``forwarded``
            in truth, what a kill undid included. None: nobody counted.
    """

    records: Sequence[Record]
    prepared: Mapping[str, Any] | None
    tokens: Mapping[str, int] | None = None


def evaluate(
    bench: Bench, plan: Plan, folder: Path, settings: Mapping[str, Any], watch: Watch
) -> Finished:
    """Answer all that is not answered yet; what is answered lies in ``records.jsonl``.

    Args:
        bench: What all methods share.
        plan: What is to be answered.
        folder: Where all of it is kept.
        settings: What the answers hang on; a folder keeps to one.
        watch: Follows the work.

    Raises:
        EvaluationError: If the folder holds another evaluation, or one that is still at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        stack.enter_context(alone_in(folder))
        _keep_to(folder, settings)
        done = read_records(folder / RECORDS, fix=True)
        past = None
        if any(spec.trained for spec in plan.specs):
            past = prepare(bench, plan.days, folder / PREPARED, watch, plan.night)
            stack.callback(past.close)
            bench = replace(bench, remembered=past)
        streams = _streams(stack, plan, folder, done)
        meter = Meter(folder / FORWARDED, done)
        records = _answer(bench, plan, folder / RECORDS, done, streams, watch, meter)
    report = None if past is None else past.report
    return Finished(records=records, prepared=report, tokens=meter.tokens)


def _answer(
    bench: Bench,
    plan: Plan,
    path: Path,
    done: Sequence[Record],
    streams: Mapping[tuple[str, int], LatentMemory],
    watch: Watch,
    meter: Meter,
) -> list[Record]:
    known = {record.key: record for record in done}
    records: list[Record] = []
    bench = replace(bench, cancelled=Event())  # of this run alone
    most = 1 if streams else plan.at_once

    def answer(seed: int, item: Item, spec: Spec, blank: Record, pool: AnswerPool) -> Record:
        stream = streams.get((str(spec), seed))
        own = replace(spec.on(bench, seed), stream=stream, pool=pool)
        record = attempt(spec.method, own, item, blank)
        return record if own.shares else meter.alone(record)

    def jobs() -> Iterator[Callable[[], Record]]:
        pool = AnswerPool(meter, bench.cancelled)
        for seed, place, item, spec in plan.steps():
            blank = Record(
                method=str(spec), seed=seed, item=item.key, place=place, family=item.family,
                planted=item.planted, question=item.question, truth=item.truth,
            )  # fmt: skip
            # One after the other each method is timed, and so writes all that it wants itself.
            if most == 1 or spec is plan.specs[0]:
                pool = AnswerPool(meter, bench.cancelled)
            if blank.key in known:
                yield partial(known.__getitem__, blank.key)
            else:
                yield partial(answer, seed, item, spec, blank, pool)

    with path.open("ab") as file, closing(in_parallel(jobs(), most, bench.cancelled)) as answered:
        for record in answered:
            records.append(record)
            if record.key not in known:
                meter.count(record)
                file.write(_line(record))
                file.flush()
                os.fsync(file.fileno())
                known[record.key] = record
                watch.tick("answering", len(records), plan.total, record.cost)
    return records


def _line(record: Record) -> bytes:
    # Text that is no valid Unicode (half a surrogate pair) is escaped, not refused.
    return json.dumps(asdict(record)).encode() + b"\n"


def peek(folder: Path) -> tuple[Finished, Mapping[str, Any]]:
    """Return what a folder holds so far, and its settings: questions that all methods answered.

    Raises:
        EvaluationError: If there is nothing yet.
    """
    records, report = read_records(folder / RECORDS), folder / PREPARED / "prepared.json"
    if not records or not (folder / SETTINGS).is_file():
        raise EvaluationError(
            f"there must be answers to report on, got none in {str(folder)!r}; run the evaluation "
            "without --peek first"
        )
    settings = json.loads((folder / SETTINGS).read_text("utf-8"))
    wanted = set(settings["methods"])
    met: dict[tuple[int, str], set[str]] = {}
    for record in records:
        met.setdefault((record.seed, record.item), set()).add(record.method)
    whole = [r for r in records if r.method in wanted and met[r.seed, r.item] >= wanted]
    prepared = json.loads(report.read_text("utf-8")) if report.is_file() else None
    tokens = Meter(folder / FORWARDED, records).tokens
    return Finished(records=whole or records, prepared=prepared, tokens=tokens), settings


@contextmanager
def alone_in(folder: Path) -> Generator[None]:
    """Keep other processes from writing a folder.

    Raises:
        EvaluationError: If one is writing it.
    """
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout as error:
        raise EvaluationError(
            f"one process at a time may write a folder, but {str(folder)!r} is being written; "
            "wait for it, or give another --out"
        ) from error


def _keep_to(folder: Path, settings: Mapping[str, Any]) -> None:
    """Write down what the answers hang on, or compare with what was."""
    path = folder / SETTINGS
    wanted = json.loads(json.dumps(settings))
    if path.is_file():
        kept = json.loads(path.read_text("utf-8"))
        for name in sorted(kept["answers"].keys() | wanted["answers"].keys()):
            before, now = kept["answers"].get(name), wanted["answers"].get(name)
            if before != now:
                raise EvaluationError(
                    f"a folder must keep to one evaluation, but {str(folder)!r} was begun with "
                    f"{name}={before!r}, got {now!r}; give another --out, or what it was begun with"
                )
        wanted = {**wanted, "first_versions": kept.get("first_versions", kept["versions"])}
    new = path.with_suffix(".new")
    new.write_text(json.dumps(wanted, indent=1) + "\n", "utf-8")
    new.replace(path)


def _streams(
    stack: ExitStack, plan: Plan, folder: Path, done: Sequence[Record]
) -> dict[tuple[str, int], LatentMemory]:
    """Open the memories that are written along the questions, as far as they are vouched for."""
    streams: dict[tuple[str, int], LatentMemory] = {}
    for spec in plan.specs:
        for seed in plan.seeds if spec.streams else ():
            path = folder / "streams" / f"{str(spec).replace(':', '-')}-{seed}.sqlite3"
            stored = [r.stored for r in done if (r.method, r.seed) == (str(spec), seed)]
            streams[str(spec), seed] = stack.enter_context(replayed(path, stored))
    return streams
