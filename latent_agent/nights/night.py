"""The night: load the traces, train a prior, let the gate judge it, publish it if it wins.

LatentEvolve (arXiv 2509.24771), section 3.3, with a gate. A kill at any moment leaves the active
prior as it was.
"""

from dataclasses import replace

import torch

from latent_agent.errors import CallCancelled, RewardError, TooLittleError
from latent_agent.model.threads import Threads
from latent_agent.nights.gate import CANDIDATE, CHAMPION, NEITHER, REFUSED, Verdict, judge
from latent_agent.nights.job import Dataset, NightJob, NightReport, load, waiting
from latent_agent.nights.lock import night_lock
from latent_agent.nights.night_run import NightRun, recorded
from latent_agent.nights.rated import rated_answers, read_corrections
from latent_agent.nights.replay import Replay, Replayer, pick_questions
from latent_agent.nights.retention import prune
from latent_agent.nights.training import course_of, fit
from latent_agent.recall.active_prior import ActivePrior
from latent_agent.recall.prior_checkpoint import PriorCard, save_prior
from latent_agent.recall.prior_network import LatentPrior
from latent_agent.reward.rebuild import reward_from_id
from latent_agent.telemetry.nights import observed
from latent_memory import FEEDBACK
from latent_memory.priors.nights import PUBLISHED, UNJUDGED, count_judged
from latent_memory.priors.priors import UnknownPriorError
from latent_memory.priors.publishing import (
    note_file,
    publish,
    reserve,
    withdraw_expired,
    withdraw_forgotten,
)


def consolidate(job: NightJob) -> NightReport:
    """Run one night for one shelf, after the whole memory was brought within its limits.

    Raises:
        NightRunningError: If another process runs one, or may, since the lock was lost.
        NightStoppedError: If the job was stopped; nothing was published, and the next night of
            the same job goes on from what was done.
        LatentAgentError: If there is too little to train on, or training fails.
        LatentMemoryError: If the memory fails.
    """
    with observed(job.shelf.namespace, TooLittleError if job.optional else ()) as details:
        report = _consolidated(job)
        details |= {"verdict": report.verdict, "night": report.night, "version": report.version}
        details |= report.figures
        return report


def _consolidated(job: NightJob) -> NightReport:
    with night_lock(job.database) as is_held:
        if not job.database.readonly:
            job.memory.tidy()
        read_corrections(job)
        if reason := waiting(job):
            return NightReport(shelf=job.shelf, verdict="idle", reason=reason)
        _withdraw(job, expired=True)
        with recorded(job, is_held) as night:
            dataset = load(job, night.kept.sources)
            night.kept.sources = dataset.sources
            candidate = night.candidate or _train(night, dataset)
            verdict = _judge(night, dataset, candidate)
            return _publish(night, candidate, verdict)


def _train(night: NightRun, dataset: Dataset) -> ActivePrior | None:
    """Train a candidate, from the champion's weights if there are any; None: nothing was learnt."""
    job, surveyed = night.job, dataset.survey
    champion = None if dataset.champion is None else dataset.champion.version
    night.figures.update(surveyed.counts(), champion=champion, searched=job.search_source)
    engine = job.model.engine()
    network = _initial_network(night, dataset).to(engine.device)
    settings = replace(job.settings.fit, seed=night.kept.seed)
    night.course = course = course_of(network, settings)
    if night.kept.tensors and course.take_up(night.kept.tensors, night.kept.course):
        night.figures["kept"] = {"updates": course.running.updates}
    total = settings.steps(surveyed.trained)

    def tick(done: int) -> None:
        job.watch.tick("training", min(done, total), total)
        night.keep_now_and_then()

    with Threads(engine.threads, None).used():
        report = fit(network, dataset.stream, engine, settings, surveyed.trained, tick, course)
    night.course = None
    night.last = dataset.sources[0].last
    night.figures.update(
        losses=[report.start, *report.losses],
        best_loss=report.best,
        updates=report.updates,
    )
    if not report.improved:
        return None
    candidate = _store_candidate(night, dataset, network.cpu())
    night.kept.version = int(candidate.version)
    night.keep()
    return candidate


def _initial_network(night: NightRun, dataset: Dataset) -> LatentPrior:
    shape = dataset.survey.shape(night.job.settings.hidden)
    network = LatentPrior(shape, night.kept.seed)
    if (prior := dataset.champion_prior) is not None and prior.network.shape == shape:
        network.load_state_dict(prior.network.weights())
    else:
        network.centre.copy_(torch.from_numpy(dataset.survey.centre))
    return network


def _store_candidate(night: NightRun, dataset: Dataset, network: LatentPrior) -> ActivePrior:
    """Write a candidate's file and row; it is not active."""
    database, shelf, sources = night.job.database, night.job.shelf, dataset.sources
    version = reserve(database, sources, night=night.kept.night, positions=network.shape.positions)
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
    signed = save_prior(network, card, database.files, file)
    note_file(database, version, file, signed.checksum)
    return ActivePrior(version=str(version), network=network.eval())


def _judge(night: NightRun, dataset: Dataset, candidate: ActivePrior | None) -> Verdict:
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
        seed=night.kept.seed,
    )
    total = len(contestants) * (len(asked) + len(job.anchors))
    number = iter(range(1, total + 1))
    if night.candidate is not None:
        replays = len(night.kept.replays)
        night.figures["kept"] = {"updates": night.figures["updates"], "replays": replays}

    def seen(replay: Replay | None) -> None:
        done = next(number)
        if replay is not None:
            job.watch.tick("judging", done, total, replay.forwarded)
            night.keep_now_and_then()

    try:
        rated = job.shelf.reward == FEEDBACK
        reward = rated_answers(dataset.stream(), job.model) if rated else None
        reward = reward or job.reward or reward_from_id(job.shelf.reward)
        verdict = judge(
            Replayer(
                model=job.model,
                settings=job.search,
                reward=reward,
                embedder=job.embedder,
                at_once=job.at_once,
                stop=job.watch.stop,
            ),
            contestants,
            asked,
            job.anchors,
            settings,
            seen,
            1 + count_judged(job.database, job.shelf),
            night.kept.replays,
        )
    except CallCancelled:
        job.watch.check()
        raise
    except RewardError as failure:
        return Verdict(word=UNJUDGED, reason=f"trained, but not published: {failure}")
    night.figures["gate"] = dict(verdict.figures)
    return verdict


def _publish(night: NightRun, candidate: ActivePrior | None, verdict: Verdict) -> NightReport:
    """Make the candidate active if it passed, and record the outcome."""
    job, word, reason = night.job, verdict.word, verdict.reason
    version = None if candidate is None else int(candidate.version)
    job.watch.check()  # the last chance to stop
    night.require_lock()
    if word == PUBLISHED and version is not None:
        try:
            publish(job.database, version)
        except UnknownPriorError as failure:  # a trace was forgotten meanwhile
            word, reason = REFUSED, str(failure)
    _withdraw(job, expired=False)
    prune(job.database, job.shelf, job.settings.keep)
    night.require_lock()
    night.end(word, reason)
    return NightReport(
        shelf=job.shelf,
        verdict=word,
        reason=reason,
        night=night.kept.night,
        version=version,
        figures=night.figures,
    )


def _withdraw(job: NightJob, *, expired: bool) -> None:
    """Withdraw priors that learnt from a trace that was forgotten, or also expired on the shelf."""
    with job.database.write() as connection:
        withdraw_forgotten(connection)
        if expired:
            withdraw_expired(connection, job.shelf)
