"""Nights inside the server: at the times of a schedule, for every namespace that has something new.

One that runs elsewhere on the same memory keeps these out, and the other way round: the lock and
the count of new traces are the memory's own.
"""

import logging
import threading

from latent_agent.errors import PriorError, TooLittleError
from latent_agent.nights.cron import cron_trigger
from latent_agent.nights.job import NightJob, NightSettings
from latent_agent.nights.night import consolidate
from latent_agent.nights.scheduler import Nights
from latent_agent.nights.search_settings import search_for
from latent_agent.nights.targets import shelves_for
from latent_agent.nights.watch import Watch
from latent_agent.server.metrics import Metrics
from latent_agent.server.service import Service
from latent_memory import LatentMemory

_log = logging.getLogger("latent_agent.server")


class NightsInside:
    """Runs nights while the server serves.

    Args:
        service: Whose memory is consolidated; it must have one.
        schedule: A cron expression, in local time.
        if_new: New traces of a shelf that make its night due.
        metrics: Where nights are counted.

    Raises:
        SettingError: If the schedule is none.
    """

    def __init__(self, service: Service, schedule: str, if_new: int, metrics: Metrics) -> None:
        assert service.memory is not None
        self._service, self._memory, self._metrics = service, service.memory, metrics
        self._settings, self._stop = NightSettings(if_new=if_new), threading.Event()
        self._nights = Nights(self.run, cron_trigger(schedule))

    def start(self) -> None:
        """Begin to wait for the first time."""
        self._nights.start()

    def stop(self) -> None:
        """End the night that is running, cleanly, and run no other."""
        self._stop.set()
        self._nights.stop()

    def run(self) -> None:
        """Run a night of every shelf that has something new; one that fails ends them."""
        for namespace in sorted({info.shelf.namespace for info in self._memory.shelves()}):
            for job in self._jobs(self._memory, namespace):
                try:
                    report = consolidate(job)
                except TooLittleError:
                    continue
                if report.verdict != "idle":
                    self._metrics.nights.labels(report.verdict).inc()
                    _log.info("night: %s (%s)", report.verdict, report.reason)

    def _jobs(self, memory: LatentMemory, namespace: str) -> list[NightJob]:
        model, embedder = self._service.shared, self._service.chat.embeddings
        try:
            shelves = shelves_for(memory, model, namespace, None, embedder)
        except PriorError:  # another model's
            return []
        jobs: list[NightJob] = []
        for shelf in shelves:
            searched = search_for(memory, shelf)
            jobs.append(
                NightJob(
                    memory=memory,
                    model=model,
                    shelf=shelf,
                    search=searched.settings,
                    search_source=searched.source,
                    embedder=embedder,
                    settings=self._settings,
                    watch=Watch(stop=self._stop),
                    optional=True,
                )
            )
        return jobs
