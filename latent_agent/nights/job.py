"""What a night is given, what it reads, and what it reports."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from latent_agent.errors import PriorError, TooLittleError
from latent_agent.model.registry import SharedModel
from latent_agent.nights.dataset import Survey, survey
from latent_agent.nights.gate import GateSettings
from latent_agent.nights.regression_set import Anchor
from latent_agent.nights.training import FitSettings
from latent_agent.nights.watch import Watch
from latent_agent.recall.active_prior import ActivePrior
from latent_agent.recall.memory_adapter import Embedder
from latent_agent.recall.prior_network import HIDDEN
from latent_agent.recall.rated import not_rated_wrong
from latent_agent.reward import Reward
from latent_agent.settings import Settings, settings_for
from latent_memory import LatentMemory, Shelf, StoredTrace
from latent_memory.database import Database
from latent_memory.priors.nights import count_new, count_unread
from latent_memory.priors.priors import PriorInfo, Source, active_prior, source_of


@dataclass(frozen=True, kw_only=True)
class NightSettings:
    """How nights are run.

    Attributes:
        if_new: New traces since the last night, whatever its outcome, that make a night due; at
            least 1. None: one trace that no night has decided about makes it due, so that a night
            that failed or could not be judged is repeated at once; so does an expired trace
            behind the active prior. A forgotten one makes a night due in any case.
        least: Fewest traces to train on.
        hidden: Width of the prior's network.
        keep: How many priors of a shelf keep their files, beside the active one.
        seed: Of weights, order and questions; None: the night's number, so that questions vary.
        fit: How the prior is trained.
        gate: What it must show.
    """

    if_new: int | None = None
    least: int = 20
    hidden: int = HIDDEN
    keep: int = 5
    seed: int | None = None
    fit: FitSettings = field(default_factory=FitSettings)
    gate: GateSettings = field(default_factory=GateSettings)


@dataclass(frozen=True, kw_only=True)
class NightJob:
    """One night for one shelf.

    Attributes:
        memory: Where the traces lie.
        model: The model that made them.
        shelf: Namespace, fingerprint and reward.
        reward: Judges at the gate; None: the one that the traces name.
        search: How the gate's questions are answered.
        search_source: Where these settings come from, for the report.
        embedder: What embedded the questions, if it was not the model.
        share: Namespaces whose traces are learnt from too.
        anchors: Known answers for the gate.
        at_once: How many of the gate's replays share the model's passes.
        settings: How nights are run.
        watch: How it is followed and stopped.
        optional: Whether a night with too few traces leaves no record and no log line, since
            other shelves may have enough.
    """

    memory: LatentMemory
    model: SharedModel
    shelf: Shelf
    reward: Reward | None = None
    search: Settings = field(default_factory=settings_for)
    search_source: str = "the job's settings"
    embedder: Embedder | None = None
    share: Sequence[str] = ()
    anchors: Sequence[Anchor] = ()
    at_once: int = 8
    settings: NightSettings = field(default_factory=NightSettings)
    watch: Watch = field(default_factory=Watch)
    optional: bool = False

    @property
    def database(self) -> Database:
        """The database behind the memory."""
        return self.memory.database

    def stream(self, shelf: Shelf, last: int) -> Iterator[StoredTrace]:
        """Yield a shelf's traces up to one; those of during the night are left to the next."""
        for stored in takewhile(lambda stored: stored.id <= last, self.memory.stream(shelf)):
            self.watch.check()
            yield stored


@dataclass(frozen=True, kw_only=True)
class NightReport:
    """The outcome of a night.

    Attributes:
        shelf: Whose night it was.
        verdict: ``published``, ``refused`` (by the gate, or nothing was learnt), ``unjudged``
            (trained, but there was no way to judge), ``idle`` (too few traces are new) or
            ``planned`` (a dry run).
        reason: In one sentence.
        night: Its number; None if nothing was done.
        version: The new prior's version, if one was trained.
        figures: Counts, losses and the gate's figures.
    """

    shelf: Shelf
    verdict: str
    reason: str
    night: int | None = None
    version: int | None = None
    figures: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a night learns from.

    Attributes:
        sources: The stretches of traces, the shelf's own first.
        stream: Reads them all.
        survey: Counts and sizes.
        champion: The active prior.
        champion_prior: The champion, loaded; None if its file cannot be used.
    """

    sources: Sequence[Source]
    stream: Callable[[], Iterator[StoredTrace]]
    survey: Survey
    champion: PriorInfo | None
    champion_prior: ActivePrior | None


def load(job: NightJob, kept: Sequence[Source] = ()) -> Dataset:
    """Read the traces once, and find out whether they can be learnt from.

    Args:
        job: The night.
        kept: The stretches of traces of a night that goes on, the shelf's own first.

    Raises:
        TooLittleError: If there are too few.
        PriorError: If none of them can be used.
    """
    sources = dict(zip(_shelves(job), kept, strict=True)) if kept else _sources(job)

    def stream() -> Iterator[StoredTrace]:
        for shelf, source in sources.items():
            yield from not_rated_wrong(job.memory, job.stream(shelf, source.last))

    surveyed = survey(stream, job.model.vocabulary)
    if surveyed.trained < job.settings.least or not surveyed.validation:
        raise TooLittleError(
            f"a night needs at least {job.settings.least} traces to train on and one to validate "
            f"by, got {surveyed.trained} and {surveyed.validation} in namespace "
            f"{job.shelf.namespace!r} under the reward {job.shelf.reward.split(' ')[0]!r} "
            f"({surveyed.skipped} of no use); ask more questions first"
        )
    if not surveyed.weight:
        raise PriorError(
            "a night needs traces whose reward is above -1, got none; look at them with: "
            "latent-agent memory list, and ask with another reward if this one accepts nothing"
        )
    shape = surveyed.shape()
    if shape.width != job.model.width:
        raise PriorError(
            f"a night needs latents as wide as the model's, {job.model.width}, got {shape.width} "
            f"in namespace {job.shelf.namespace!r}, where an import must have brought them; forget "
            "the namespace (latent-agent memory forget --namespace), and import what is this "
            "model's"
        )
    try:
        widths = shape.embedding, shape.width
        champion_prior = ActivePrior.find(job.memory, job.shelf, widths=widths)
    except PriorError:
        champion_prior = None  # the warning says why; a new prior may take its place
    return Dataset(
        sources=list(sources.values()),
        stream=stream,
        survey=surveyed,
        champion=active_prior(job.database, job.shelf),
        champion_prior=champion_prior,
    )


def _sources(job: NightJob) -> dict[Shelf, Source]:
    """Look up the shelves that are learnt from, the job's own first."""
    sources: dict[Shelf, Source] = {}
    missing: list[str] = []
    for shelf in _shelves(job):
        if (source := source_of(job.database, shelf)) is None:
            missing.append(shelf.namespace)
        else:
            sources[shelf] = source
    if missing:
        raise PriorError(
            "every namespace that is learnt from must hold traces of this model and reward, got "
            f"none in {missing!r}; see: latent-agent memory status"
        )
    return sources


def _shelves(job: NightJob) -> list[Shelf]:
    names = (job.shelf.namespace, *job.share)
    return [replace(job.shelf, namespace=name) for name in dict.fromkeys(names)]


def plan(job: NightJob) -> NightReport:
    """Report what a night would do, and do nothing.

    Raises:
        PriorError: If there is too little to learn from.
    """
    if reason := waiting(job):
        return NightReport(shelf=job.shelf, verdict="idle", reason=reason)
    dataset = load(job)
    surveyed, champion = dataset.survey, dataset.champion
    rivals = "no prior" if champion is None else f"prior {champion.version} and no prior"
    return NightReport(
        shelf=job.shelf,
        verdict="planned",
        reason=f"would train on {surveyed.trained} traces and compare with {rivals}",
        figures={**surveyed.counts(), "searched": job.search_source},
    )


def waiting(job: NightJob) -> str | None:
    """Say which traces are waited for; None if a night is due."""
    champion, if_new = active_prior(job.database, job.shelf), job.settings.if_new
    wanted = max(1, if_new or 1)
    new = (count_new if if_new is None else count_unread)(job.database, job.shelf)
    if new >= wanted:
        return None
    if champion is not None and (champion.stale if if_new is None else champion.forgotten):
        return None
    return f"{new} new traces, {wanted} are waited for"
