"""Nights inside an application: in a background thread, whenever enough calls were made."""

import logging
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from types import TracebackType
from typing import Any, Self

from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from latent_agent.errors import LatentAgentError, NightRunningError, NightStoppedError, SettingError
from latent_agent.nights.job import NightJob, NightReport
from latent_agent.nights.night import consolidate
from latent_memory import LatentMemoryError
from latent_memory.fork_renewal import Renewed

logger = logging.getLogger(__name__)

# A look that is due during a night is passed over, which APScheduler would warn of.
_clock = logging.getLogger(f"{__name__}.clock")
_clock.setLevel(logging.ERROR)

EVERY = 200
"""Calls between two nights (LatentEvolve, section 4: T = 200)."""


class Nights(Renewed):
    """Runs nights at given times in a background thread, one at a time.

    A forked child runs none, unless it starts them itself.

    Args:
        run: Runs a night; what it raises is logged.
        trigger: An APScheduler trigger.
    """

    def __init__(self, run: Callable[[], Any], trigger: Any) -> None:
        super().__init__()
        self._run, self._trigger = run, trigger
        self.renew()

    def renew(self) -> None:
        """Begin with a scheduler that does not run."""
        self._scheduler = BackgroundScheduler(logger=_clock, timezone=UTC)
        # Missed times, and a clock that jumped, bring one night.
        self._scheduler.add_job(
            self._guarded, self._trigger, max_instances=1, coalesce=True, misfire_grace_time=None
        )

    def start(self) -> None:
        """Begin to wait for the first time."""
        self._scheduler.start()

    def stop(self) -> None:
        """Wait for the night that is running, and run no other."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=True)

    def _guarded(self) -> None:
        try:
            self._run()
        except (NightRunningError, NightStoppedError) as reason:  # neither is a fault
            logger.info("no night: %s", reason)
        except (LatentAgentError, LatentMemoryError, OSError) as failure:
            logger.warning("no night: %s", failure)


class ConsolidationScheduler:
    """Consolidates a chat model's memory once enough calls left a trace, without blocking any.

    A night has the calls' own priority and no time limit here; beside a busy assistant run
    ``latent-agent consolidate`` in a process of its own. One that `stop` ends goes on later.

    ```python
    from latent_agent.nights.scheduler import ConsolidationScheduler
    from latent_agent.nights.targets import job_for

    with ConsolidationScheduler(job_for(chat)):
        ...
    ```

    Args:
        job: The night to run.
        every: New traces between two nights, whatever the outcome of the first: one that failed,
            or could not be judged, is not run again before. One that was interrupted is.
        look: Seconds between two looks at how many there are.
        done: Given the report of each night that was run.
    """

    def __init__(
        self,
        job: NightJob,
        every: int = EVERY,
        look: int = 30,
        done: Callable[[NightReport], None] = lambda _: None,
    ) -> None:
        if every < 1 or look <= 0:
            raise SettingError(
                f"every must be at least 1 and look above 0, got {every!r} and {look!r}; give "
                "every=200 traces and look=30 seconds"
            )
        self._stop = threading.Event()
        self._done = done
        self._job = replace(
            job,
            settings=replace(job.settings, if_new=every),
            watch=replace(job.watch, stop=self._stop),
        )
        self._nights = Nights(self._night, IntervalTrigger(seconds=look, timezone=UTC))

    def start(self) -> None:
        """Begin to look."""
        self._nights.start()

    def stop(self) -> None:
        """End the night that is running, cleanly, and run no other."""
        self._stop.set()
        self._nights.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _night(self) -> None:
        report = consolidate(self._job)
        if report.verdict != "idle":
            logger.info("night: %s (%s)", report.verdict, report.reason)
            self._done(report)
