"""The soak: threads at work until the time is over, and then the checks."""

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.errors import SettingError
from latent_agent.nights.gate import PUBLISHED
from latent_agent.teaching import questions
from latent_memory import LatentMemory
from latent_memory.priors.nights import list_nights
from tests.crash.content import SETTINGS
from tests.soak.actions import Action, Actions
from tests.soak.check import findings
from tests.soak.gate import Gate
from tests.soak.ledger import Ledger
from tests.soak.plan import MODEL, NAMESPACES, Plan
from tests.soak.watch import BOUND, Growth, Sample, Watch, growth

_FILL = 128  # traces that a namespace begins with
_ASKED = 300  # questions
_PAUSE = 30.0  # seconds between two nights
_ARENAS = (
    "; if what is allocated at rest did not, the C library keeps what each thread has freed: with "
    "glibc, set MALLOC_ARENA_MAX=2"
)
_LONG = 1200.0  # seconds, in which one must have published

Report = Callable[[str, int, int], None]


def soak(plan: Plan, report: Report) -> tuple[dict[str, Any], Sequence[Sample]]:
    """Run a soak; return its figures, with ``problems`` empty if all holds, and the samples."""
    if plan.folder.exists() and (not plan.folder.is_dir() or any(plan.folder.iterdir())):
        raise SettingError(
            f"--folder must be new or empty, got {str(plan.folder)!r}, which holds something; "
            "give another"
        )
    asked = [question.text for question in questions(split="train", n=_ASKED, seed=plan.seed)]
    ledger, gate = Ledger(), Gate()
    with _warnings(ledger) as warned, LatentMemory(plan.database, index=SETTINGS) as memory:
        chat = ChatLatentSeek(model=MODEL, memory=memory)
        _fill(chat, memory, asked, ledger)
        with Watch(plan.database.parent, plan.seconds, gate) as watch:
            _work(plan, Actions(chat, memory, asked, ledger), ledger, gate, report)
        nights = Counter(n.result.verdict for n in list_nights(memory.database) if n.result)
    grown = growth(watch.samples)
    problems = [*ledger.problems, *findings(plan.database, ledger), *_grown(grown)]
    if plan.seconds >= _LONG and not nights[PUBLISHED]:
        problems.append(f"a night must have published a prior by now, got {dict(nights)}")
    return {
        "seconds": watch.samples[-1].seconds,
        "threads": plan.threads,
        "seed": plan.seed,
        "actions": dict(sorted(ledger.actions.items())),
        "acknowledged": len(ledger.entries),
        "forgotten": len(ledger.gone),
        "warnings": dict(warned),
        "nights": dict(nights),
        "memory": {name: {**asdict(change), "text": str(change)} for name, change in grown.items()},
        "bound": BOUND,
        "peak": max(sample.resident for sample in watch.samples),
        "disk": watch.samples[-1].disk,
        "problems": problems,
    }, watch.samples


def _fill(chat: ChatLatentSeek, memory: LatentMemory, asked: Sequence[str], ledger: Ledger) -> None:
    """Give each namespace traces to learn from: a real one, and copies that are a little apart."""
    random_ = np.random.default_rng(0)
    for name in NAMESPACES:
        first = next(id_ for question in asked if (id_ := _trace(chat, name, question, ledger)))
        stored = memory.get(first)
        assert stored is not None
        made = [
            replace(
                stored.trace,
                query=question,
                embedding=stored.trace.embedding
                + 0.3 * random_.standard_normal(stored.trace.embedding.shape, dtype=np.float32),
            )
            for question in asked[: _FILL - 1]
        ]
        for id_, trace in zip(memory.add_many(made), made, strict=True):
            ledger.stored(id_, name, trace.query or "")


def _trace(chat: ChatLatentSeek, name: str, question: str, ledger: Ledger) -> int | None:
    details = chat.invoke(question, namespace=name).response_metadata["latent_agent"]
    if details["answer_id"] is not None:
        ledger.stored(details["answer_id"], name, question)
    return details["answer_id"]


def _work(plan: Plan, actions: Actions, ledger: Ledger, gate: Gate, report: Report) -> None:
    began, stop = time.monotonic(), threading.Event()
    threads = [
        threading.Thread(target=_thread, args=(plan, n, actions, ledger, gate, stop), daemon=True)
        for n in range(plan.threads)
    ]
    threads.append(
        threading.Thread(target=_nights, args=(plan, actions, ledger, stop), daemon=True)
    )
    for thread in threads:
        thread.start()
    while (since := time.monotonic() - began) < plan.seconds and not stop.wait(0.2):
        report("soaking, seconds", int(since), max(int(plan.seconds), 1))
    stop.set()
    for thread in threads:
        thread.join()


def _thread(
    plan: Plan, number: int, actions: Actions, ledger: Ledger, gate: Gate, stop: threading.Event
) -> None:
    """Do one action after another; at first those that no other thread begins with."""
    rng, known = random.Random(f"{plan.seed} {number}"), actions.all()
    names, weights = list(known), [often for _, often in known.values()]
    for turn in count(number, plan.threads):
        name = names[turn] if turn < len(names) else rng.choices(names, weights)[0]
        if stop.is_set() and turn >= len(names):
            return
        with gate.work():
            if not _done(name, known[name][0], rng, ledger):
                stop.set()
                return


def _nights(plan: Plan, actions: Actions, ledger: Ledger, stop: threading.Event) -> None:
    """Run one night after another, beside the others; a process of its own has the memory."""
    rng = random.Random(f"{plan.seed} nights")
    while _done("night", partial(actions.night, stop=stop), rng, ledger):
        if stop.wait(_PAUSE):
            return
    stop.set()


def _done(name: str, action: Action, rng: random.Random, ledger: Ledger) -> bool:
    namespace = rng.choice(NAMESPACES)
    try:
        action(namespace, rng)
    except Exception as error:
        ledger.failed(f"{name} in {namespace!r}: {type(error).__name__}: {error}")
        return False
    ledger.did(name)
    return True


def _grown(grown: Mapping[str, Growth]) -> Sequence[str]:
    return [
        f"memory, {name}, must not grow by more than {BOUND:.0%} after the warm-up, but grew by "
        f"{change}{_ARENAS if name == 'resident' else ''}"
        for name, change in grown.items()
        if not change.steady
    ]


class _Counter(logging.Handler):
    """Counts the warnings of this program by the words that do not change; errors are problems."""

    def __init__(self, counted: Counter[str], ledger: Ledger) -> None:
        super().__init__(logging.WARNING)
        self._counted, self._ledger = counted, ledger

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        if record.levelno >= logging.ERROR:
            self._ledger.failed(f"{record.name} logged an error: {record.getMessage()}")
        self._counted[str(record.msg)] += 1


@contextmanager
def _warnings(ledger: Ledger) -> Generator[Counter[str]]:
    counted: Counter[str] = Counter()
    counter, names = _Counter(counted, ledger), ("latent_agent", "latent_memory", "py.warnings")
    logging.captureWarnings(True)
    for name in names:
        logging.getLogger(name).addHandler(counter)
    try:
        yield counted
    finally:
        logging.captureWarnings(False)
        for name in names:
            logging.getLogger(name).removeHandler(counter)
