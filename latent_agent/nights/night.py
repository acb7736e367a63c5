"""The night: load the day's traces, train a prior, let the gate judge it, publish it if it wins.

LatentEvolve (arXiv 2509.24771), section 3.3, with a gate. A kill at any moment leaves the prior
that was active as it was.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from latent_agent.errors import LatentAgentError, NightStoppedError, RewardError
from latent_agent.nights.gate import (
    CANDIDATE,
    CHAMPION,
    NEITHER,
    REFUSED,
    Verdict,
    judge,
)
from latent_agent.nights.job import Lessons, NightJob, NightReport, load, waiting
from latent_agent.nights.lock import night_lock
from latent_agent.nights.replay import Bench, pick_questions
from latent_agent.nights.retention import prune
from latent_agent.nights.training import FitReport, fit
from latent_agent.recall.active_prior import ActivePrior, prior_path
from latent_agent.recall.prior_checkpoint import PriorCard, save_prior
from latent_agent.recall.prior_network import LatentPrior
from latent_agent.reward.rebuild import reward_from_id
from latent_agent.telemetry.nights import observed
from latent_memory import LatentMemoryError
from latent_memory.priors.nights import (
    FAILED,
    PUBLISHED,
    UNJUDGED,
    Result,
    begin_night,
    count_judged,
    end_night,
)
from latent_memory.priors.priors import UnknownPriorError, active_prior, source_of
from latent_memory.priors.publishing import (
    note_file,
    publish,
    reserve,
    withdraw_expired,
    withdraw_forgotten,
)

_STOPPED = "stopped"


def consolidate(job: NightJob) -> NightReport:
    """Run one night for one shelf, after the whole memory was brought within its limits.

    Raises:
        NightRunningError: If another process is at it.
        NightStoppedError: If the job was told to stop; nothing was published.
        LatentAgentError: If there is too little to train on, or training fails.
        LatentMemoryError: If the memory fails.
    """
    with observed(job) as seen:
        return seen.ends(_consolidated(job))


def _consolidated(job: NightJob) -> NightReport:
    with night_lock(job.memory.path):
        if not job.database.readonly:
            job.memory.tidy()
        if reason := waiting(job):
            return NightReport(shelf=job.shelf, verdict="idle", reason=reason)
        with _recorded(job) as night:
            _withdraw(job, expired=True)
            lessons = load(job)
            candidate = _train(night, lessons)
            verdict = _judge(night, lessons, candidate)
            return _publish(night, candidate, verdict)


@dataclass(kw_only=True)
class _Night:
    """A night as it goes on."""

    job: NightJob
    number: int
    seed: int
    started: float = field(default_factory=time.monotonic)  # no clock that jumps
    last: int
    figures: dict[str, Any] = field(default_factory=dict[str, Any])

    def end(self, verdict: str, reason: str) -> None:
        """Write down what the night came to."""
        result = Result(
            verdict=verdict,
            reason=reason,
            seconds=time.monotonic() - self.started,
            last=0 if verdict == _STOPPED else self.last,
            losses=self.figures.get("losses", ()),
            gate=self.figures.get("gate", {}),
        )
        end_night(self.job.database, self.number, result)


@contextmanager
def _recorded(job: NightJob) -> Generator[_Night]:
    """Note the night, and how it ended if it failed."""
    inputs = {
        "share": list(job.share),
        "anchors": len(job.anchors),
        "reward": None if job.reward is None else job.reward.id,
        "settings": asdict(job.settings),
        "search": asdict(job.search),
    }
    _drop_old(job)
    found = source_of(job.database, job.shelf)
    number = begin_night(job.database, job.shelf, seed=job.settings.seed, inputs=inputs)
    seed = number if job.settings.seed is None else job.settings.seed
    last = 0 if found is None else found.last
    night = _Night(job=job, number=number, seed=seed, last=last)
    try:
        yield night
    except NightStoppedError as stopped:
        night.end(_STOPPED, str(stopped))
        raise
    except Exception as failure:  # what ends so ends so again: the next night waits for more
        ours = isinstance(failure, (LatentAgentError, LatentMemoryError, OSError))
        night.end(FAILED, str(failure) if ours else f"{type(failure).__name__}: {failure}")
        raise


def _train(night: _Night, lessons: Lessons) -> ActivePrior | None:
    """Train a candidate, from the champion's weights if there are any; None: nothing was learnt."""
    job, found = night.job, lessons.survey
    champion = None if lessons.champion is None else lessons.champion.version
    night.figures |= {**found.counts(), "champion": champion, "searched": job.search_source}
    backbone = job.model.backbone()
    network = _beginning(night, lessons).to(backbone.device)
    settings = replace(job.settings.fit, seed=night.seed)
    total = settings.steps(found.trained)
    report = fit(
        network,
        lessons.stream,
        backbone,
        settings,
        found.trained,
        lambda done: job.watch.tick("training", min(done, total), total),
    )
    night.last = lessons.sources[0].last
    night.figures |= _losses(report)
    return _kept(night, lessons, network.cpu()) if report.improved else None


def _beginning(night: _Night, lessons: Lessons) -> LatentPrior:
    shape = lessons.survey.shape(night.job.settings.hidden)
    if lessons.guess is not None and lessons.guess.network.shape == shape:
        network = LatentPrior(shape)
        network.load_state_dict(lessons.guess.network.weights())
        return network
    network = LatentPrior(shape, night.seed)
    network.centre.copy_(torch.from_numpy(lessons.survey.centre))
    return network


def _losses(report: FitReport) -> dict[str, Any]:
    return {
        "losses": [report.start, *report.losses],
        "best_loss": report.best,
        "updates": report.updates,
    }


def _kept(night: _Night, lessons: Lessons, network: LatentPrior) -> ActivePrior:
    """Write a candidate down; it is not active."""
    database, shelf = night.job.database, night.job.shelf
    version = reserve(
        database, lessons.sources, night=night.number, positions=network.shape.positions
    )
    card = PriorCard(
        version=str(version),
        namespace=shelf.namespace,
        fingerprint=shelf.fingerprint,
        reward=shelf.reward,
        first_trace=lessons.sources[0].first,
        last_trace=lessons.sources[0].last,
        shape=network.shape,
    )
    file = f"{version}.safetensors"
    signed = save_prior(network, card, prior_path(database.path, file))
    note_file(database, version, file, signed.checksum)
    return ActivePrior.holding(network.eval(), str(version))


def _judge(night: _Night, lessons: Lessons, candidate: ActivePrior | None) -> Verdict:
    """Let the gate decide; a reward that cannot be asked decides nothing."""
    if candidate is None:
        return Verdict(
            word=REFUSED, reason="nothing was learnt that holds for traces never trained on"
        )
    job, settings = night.job, night.job.settings.gate
    contestants = {CANDIDATE: candidate, NEITHER: None}
    since = 0
    if lessons.guess is not None and lessons.champion is not None:
        contestants[CHAMPION] = lessons.guess
        since = lessons.champion.last_trace
    asked = pick_questions(
        job.stream(job.shelf, night.last),
        settings.calls // len(contestants),
        since=since,
        seed=night.seed,
    )
    total = len(contestants) * (len(asked) + len(job.anchors))
    done = iter(range(1, total + 1))
    try:
        reward = job.reward or reward_from_id(job.shelf.reward)
        bench = Bench(model=job.model, settings=job.search, reward=reward, embedder=job.embedder)
        verdict = judge(
            bench,
            contestants,
            asked,
            job.anchors,
            settings,
            lambda: job.watch.tick("judging", next(done), total),
            1 + count_judged(job.database, job.shelf),
        )
    except RewardError as failure:
        return Verdict(word=UNJUDGED, reason=f"trained, but not published: {failure}")
    night.figures["gate"] = dict(verdict.figures)
    return verdict


def _publish(night: _Night, candidate: ActivePrior | None, verdict: Verdict) -> NightReport:
    """Make the candidate active if it passed."""
    database, shelf = night.job.database, night.job.shelf
    said, reason = verdict.word, verdict.reason
    version = None if candidate is None else int(candidate.version)
    night.job.watch.check()  # the last chance to stop
    if said == PUBLISHED and version is not None:
        try:
            publish(database, version)
        except UnknownPriorError as failure:  # a trace was forgotten meanwhile
            said, reason = REFUSED, str(failure)
    _withdraw(night.job, expired=False)
    _drop_old(night.job)
    night.end(said, reason)
    return NightReport(
        shelf=shelf,
        verdict=said,
        reason=reason,
        night=night.number,
        version=version,
        figures=night.figures,
    )


def _withdraw(job: NightJob, *, expired: bool) -> None:
    """Withdraw what learnt from a trace that was forgotten since, or also that has expired here."""
    with job.database.write() as connection:
        withdraw_forgotten(connection)
        if expired:
            withdraw_expired(connection, job.shelf)


def _drop_old(job: NightJob) -> None:
    """Delete what too many nights left behind."""
    now = active_prior(job.database, job.shelf)
    prune(job.database, job.shelf, None if now is None else now.version, job.settings.keep)
