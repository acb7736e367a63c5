"""A night that runs: its record, and what is kept of it for the next one if it is cut short."""

import logging
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

from latent_agent.errors import (
    LatentAgentError,
    NightRunningError,
    NightStoppedError,
    TooLittleError,
)
from latent_agent.nights.course import Course
from latent_agent.nights.job import NightJob
from latent_agent.nights.kept import KeptNight, made_from
from latent_agent.nights.retention import prune
from latent_agent.recall.active_prior import ActivePrior
from latent_memory import LatentMemoryError
from latent_memory.priors.nights import (
    FAILED,
    STOPPED,
    Result,
    begin_night,
    cancel_night,
    end_night,
    resume_night,
)
from latent_memory.priors.priors import find_prior, kept_name, lacks_traces, source_of

logger = logging.getLogger(__name__)

KEEP_EVERY = 20.0  # seconds of work that a kill costs, about


@dataclass(kw_only=True)
class NightRun:
    """A night that runs.

    Attributes:
        job: What it was given.
        kept: What it has done so far.
        file: Where that is kept; None: nothing lies on the shelf.
        last: The newest trace that it reads.
        candidate: The prior that it had trained before it was cut short.
        course: Of the training, while it lasts.
        is_held: Says whether it still holds the lock of nights.
    """

    job: NightJob
    kept: KeptNight
    file: str | None
    last: int
    candidate: ActivePrior | None = None
    course: Course | None = None
    is_held: Callable[[], bool] = lambda: True
    _began: float = field(default_factory=time.monotonic)  # no clock that jumps
    _written: float = field(default_factory=time.monotonic)

    @property
    def figures(self) -> dict[str, Any]:
        """Counts, losses and the gate's figures, for the report."""
        return self.kept.figures

    @property
    def seconds(self) -> float:
        """How long it has taken, with the times before it was cut short."""
        return self.kept.seconds + time.monotonic() - self._began

    def keep_now_and_then(self) -> None:
        """Keep what was done so far, if the last time is a while ago."""
        if time.monotonic() - self._written >= KEEP_EVERY:
            self.keep()

    def keep(self) -> None:
        """Keep what was done so far; if the disk refuses, the next night does it again."""
        kept = self.kept
        kept.tensors, kept.course = {}, {}
        if self.course is not None and self.course.report is not None:
            kept.tensors, kept.course = self.course.state()
        elif kept.version is None:
            return
        if self.file is None or lacks_traces(self.job.database, kept.sources):
            return
        seconds, kept.seconds = kept.seconds, self.seconds
        try:
            self.job.database.files.write(self.file, kept.packed())
        except (LatentMemoryError, OSError) as error:
            logger.warning("what night %s has done cannot be kept: %s", kept.night, error)
        kept.seconds, self._written = seconds, time.monotonic()

    def require_lock(self) -> None:
        """Raise NightRunningError if the lock is lost: another night may have begun."""
        if not self.is_held():
            raise NightRunningError(
                "a night must hold its lock to its end, but lost the connection that held it on "
                f"{str(self.job.database.place)!r}; another may run there now; run it again"
            )

    def end(self, verdict: str, reason: str) -> None:
        """Record the outcome; what was kept is of no more use, but for a night that goes on."""
        stopped = verdict == STOPPED
        result = Result(
            verdict=verdict,
            reason=reason,
            seconds=self.seconds,
            last=0 if stopped else self.last,
            losses=self.figures.get("losses", ()),
            gate=self.figures.get("gate", {}),
        )
        end_night(self.job.database, self.kept.night, result)
        if self.file is not None and not stopped:
            self.job.database.files.delete(self.file)


@contextmanager
def recorded(job: NightJob, is_held: Callable[[], bool]) -> Generator[NightRun]:
    """Run a night within that is recorded, and goes on if an earlier one was cut short.

    One that has lost its lock leaves the record as a kill would.
    """
    prune(job.database, job.shelf, job.settings.keep)
    run = _going_on(job) or _begun(job)
    run.is_held = is_held
    try:
        yield run
    except NightStoppedError as stopped:
        if is_held():
            run.keep()
            run.end(STOPPED, str(stopped))
        raise
    except Exception as failure:  # it would fail again, so the next night waits for more traces
        if not is_held():
            raise
        if job.optional and isinstance(failure, TooLittleError):
            cancel_night(job.database, run.kept.night)
            raise
        ours = isinstance(failure, (LatentAgentError, LatentMemoryError, OSError))
        run.end(FAILED, str(failure) if ours else f"{type(failure).__name__}: {failure}")
        raise


def _begun(job: NightJob) -> NightRun:
    inputs = {
        "share": list(job.share),
        "anchors": len(job.anchors),
        "reward": None if job.reward is None else job.reward.id,
        "settings": asdict(job.settings),
        "search": asdict(job.search),
    }
    source = source_of(job.database, job.shelf)
    number = begin_night(job.database, job.shelf, seed=job.settings.seed, inputs=inputs)
    seed = number if job.settings.seed is None else job.settings.seed
    return NightRun(
        job=job,
        kept=KeptNight(made_from=made_from(job), night=number, seed=seed, sources=()),
        file=None if source is None else kept_name(source.shelf),
        last=0 if source is None else source.last,
    )


def _going_on(job: NightJob) -> NightRun | None:
    """Return the night that was cut short, if what it did can be used."""
    source = source_of(job.database, job.shelf)
    if source is None:
        return None
    file, files = kept_name(source.shelf), job.database.files
    try:
        kept = KeptNight.read(files.read(file), made_from(job))
        if lacks_traces(job.database, kept.sources):
            raise ValueError("a trace that it learnt from was forgotten, or has expired")
        candidate = None
        if kept.version is not None:
            info = find_prior(job.database, kept.version)
            candidate = ActivePrior.of(info, job.shelf, job.database)
        if not resume_night(job.database, kept.night):
            raise ValueError("its record is gone")
    except FileNotFoundError:
        return None
    except (LatentAgentError, LatentMemoryError, OSError, ValueError) as why:
        logger.warning("what an earlier night has done is not used, a new one begins: %s", why)
        files.delete(file)
        return None
    last = kept.sources[0].last
    return NightRun(job=job, kept=kept, file=file, last=last, candidate=candidate)
