"""What is known of an answer before anybody rates it: whose run gave it, how long it waits."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, update

from latent_memory.tables import answers, shelves, traces
from latent_memory.trace_rows import to_time

_OF_RUN = (
    select(answers.c.trace)
    .join(traces, traces.c.id == answers.c.trace)
    .join(shelves, shelves.c.id == traces.c.shelf)
    .where(answers.c.run == bindparam("run"), shelves.c.namespace == bindparam("namespace"))
    .order_by(answers.c.trace.desc())
    .limit(1)
)
_UNTIL = select(answers.c.until).where(answers.c.trace == bindparam("of"))
_OVERDUE = select(answers.c.trace).where(answers.c.until < bindparam("now"))
_REPORTED = update(answers).where(answers.c.trace == bindparam("of")).values(until=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Awaited:
    """What an answer is stored with beside its trace.

    Attributes:
        run: Id of the caller's run that gave it, by which feedback may name it.
        until: When it is dropped unless feedback came (with a time zone); None: never.
    """

    run: str | None = None
    until: datetime | None = None


def note_answer(connection: Connection, trace: int, awaited: Awaited) -> None:
    """Note what an answer waits for."""
    until = None if awaited.until is None else to_time(awaited.until)
    connection.execute(insert(answers), {"trace": trace, "run": awaited.run, "until": until})


def answer_of_run(connection: Connection, run: str, namespace: str) -> int | None:
    """Return the newest answer of a run in a namespace; None if it holds none."""
    return connection.scalar(_OF_RUN, {"run": run, "namespace": namespace})


def is_overdue(connection: Connection, trace: int, now: datetime) -> bool:
    """Whether an answer's outcome was not reported in time."""
    until = connection.scalar(_UNTIL, {"of": trace})
    return until is not None and until < to_time(now)


def overdue(connection: Connection, now: datetime) -> list[int]:
    """Return the answers whose outcome was not reported in time."""
    return list(connection.execute(_OVERDUE, {"now": to_time(now)}).scalars())


def note_reported(connection: Connection, trace: int) -> None:
    """Note that an answer's outcome was reported: it stays."""
    connection.execute(_REPORTED, {"of": trace})
