"""The night: load the traces, train a prior, let the gate judge it, publish it if it wins.

LatentEvolve (arXiv 2509.24771), section 3.3, with a gate. A kill at any moment leaves the active
prior as it was.
"""

import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import torch

from latent_agent.errors import LatentAgentError, NightStoppedError, RewardError, TooLittleError
from latent_agent.nights.gate import CANDIDATE, CHAMPION, NEITHER, REFUSED, Verdict, judge
from latent_agent.nights.job import Dataset, NightJob, NightReport, load, waiting
from latent_agent.nights.lock import night_lock
from latent_agent.nights.replay import Replayer, pick_questions
from latent_agent.nights.retention import prune
from latent_agent.nights.training import fit
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
    cancel_night,
    count_judged,
    end_night,
)
from latent_memory.priors.priors import UnknownPriorError, source_of
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
        NightRunningError: If another process runs one.
        NightStoppedError: If the job was stopped; nothing was published.
        LatentAgentError: If there is too little to train on, or training fails.
        LatentMemoryError: If the memory fails.
    """
    with observed(job.shelf.namespace, TooLittleError if job.optional else ()) as details:
        report = _consolidated(job)
        details |= {"verdict": report.verdict, "night": report.night, "version": report.version}
        details |= report.figures
        return report


def _consolidated(job: NightJob) -> NightReport:
    with night_lock(job.memory.path):
        if not job.database.readonly:
            job.memory.tidy()
        if reason := waiting(job):
            return NightReport(shelf=job.shelf, verdict="idle", reason=reason)
        with _recorded(job) as night:
            _withdraw(job, expired=True)
            dataset = load(job)
            candidate = _train(night, dataset)
            verdict = _judge(night, dataset, candidate)
            return _publish(night, candidate, verdict)


@dataclass(kw_only=True)
class _Night:
    """A night that runs."""

    job: NightJob
    number: int
    seed: int
    started: float = field(default_factory=time.monotonic)  # no clock that jumps
    last: int
    figures: dict[str, Any] = field(default_factory=dict[str, Any])

    def end(self, verdict: str, reason: str) -> None:
        """Record the outcome."""
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
    """Record the night, and how it ended if it failed."""
    inputs = {
        "share": list(job.share),
        "anchors": len(job.anchors),
        "reward": None if job.reward is None else job.reward.id,
        "settings": asdict(job.settings),
        "search": asdict(job.search),
    }
    prune(job.database, job.shelf, job.settings.keep)
    source = source_of(job.database, job.shelf)
    number = begin_night(job.database, job.shelf, seed=job.settings.seed, inputs=inputs)
    seed = number if job.settings.seed is None else job.settings.seed
    night = _Night(job=job, number=number, seed=seed, last=0 if source is None else source.last)
    try:
        yield night
    except NightStoppedError as stopped:
        night.end(_STOPPED, str(stopped))
        raise
    except Exception as failure:  # it would fail again, so the next night waits for more traces
        if job.optional and isinstance(failure, TooLittleError):
            cancel_night(job.database, number)
            raise
        ours = isinstance(failure, (LatentAgentError, LatentMemoryError, OSError))
        night.end(FAILED, str(failure) if ours else f"{type(failure).__name__}: {failure}")
        raise


def _train(night: _Night, dataset: Dataset) -> ActivePrior | None:
    """Train a candidate, from the champion's weights if there are any; None: nothing was learnt."""
    job, surveyed = night.job, dataset.survey
    champion = None if dataset.champion is None else dataset.champion.version
    night.figures |= {**surveyed.counts(), "champion": champion, "searched": job.search_source}
    engine = job.model.engine()
    network = _initial_network(night, dataset).to(engine.device)
    settings = replace(job.settings.fit, seed=night.seed)
    total = settings.steps(surveyed.trained)
    report = fit(
        network,
        dataset.stream,
        engine,
        settings,
        surveyed.trained,
        lambda done: job.watch.tick("training", min(done, total), total),
    )
    night.last = dataset.sources[0].last
    night.figures |= {
        "losses": [report.start, *report.losses],
        "best_loss": report.best,
        "updates": report.updates,
    }
    return _store_candidate(night, dataset, network.cpu()) if report.improved else None


def _initial_network(night: _Night, dataset: Dataset) -> LatentPrior:
    shape = dataset.survey.shape(night.job.settings.hidden)
    network = LatentPrior(shape, night.seed)
    if (prior := dataset.champion_prior) is not None and prior.network.shape == shape:
        network.load_state_dict(prior.network.weights())
    else:
        network.centre.copy_(torch.from_numpy(dataset.survey.centre))
    return network


def _store_candidate(night: _Night, dataset: Dataset, network: LatentPrior) -> ActivePrior:
    """Write a candidate's file and row; it is not active."""
    database, shelf, sources = night.job.database, night.job.shelf, dataset.sources
    version = reserve(database, sources, night=night.number, positions=network.shape.positions)
    card = PriorCard(
        version=str(version),
        namespace=shelf.namespace,
        fingerprint=shelf.fingerprint,
        reward=shelf.reward,
        first_trace=sources[0].first,
        last_trace=sources[0].last,
        shape=network.shape,
    )
    file = f"{version}.safetensors"
    signed = save_prior(network, card, prior_path(database.path, file))
    note_file(database, version, file, signed.checksum)
    return ActivePrior(version=str(version), network=network.eval())


def _judge(night: _Night, dataset: Dataset, candidate: ActivePrior | None) -> Verdict:
    """Let the gate decide; without a reward that works there is no way to judge."""
    if candidate is None:
        return Verdict(
            word=REFUSED, reason="nothing was learnt that holds for traces never trained on"
        )
    job, settings = night.job, night.job.settings.gate
    contestants = {CANDIDATE: candidate, NEITHER: None}
    since = 0
    if dataset.champion_prior is not None and dataset.champion is not None:
        contestants[CHAMPION] = dataset.champion_prior
        since = dataset.champion.last_trace
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
        verdict = judge(
            Replayer(
                model=job.model,
                settings=job.search,
                reward=reward,
                embedder=job.embedder,
                at_once=job.at_once,
            ),
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
    """Make the candidate active if it passed, and record the outcome."""
    job, word, reason = night.job, verdict.word, verdict.reason
    version = None if candidate is None else int(candidate.version)
    job.watch.check()  # the last chance to stop
    if word == PUBLISHED and version is not None:
        try:
            publish(job.database, version)
        except UnknownPriorError as failure:  # a trace was forgotten meanwhile
            word, reason = REFUSED, str(failure)
    _withdraw(job, expired=False)
    prune(job.database, job.shelf, job.settings.keep)
    night.end(word, reason)
    return NightReport(
        shelf=job.shelf,
        verdict=word,
        reason=reason,
        night=night.number,
        version=version,
        figures=night.figures,
    )


def _withdraw(job: NightJob, *, expired: bool) -> None:
    """Withdraw priors that learnt from a trace that was forgotten, or also expired on the shelf."""
    with job.database.write() as connection:
        withdraw_forgotten(connection)
        if expired:
            withdraw_expired(connection, job.shelf)
