"""The methods that are compared, each a function of a bench and an item."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from latent_agent.call.call import Call
from latent_agent.call.outcome import outcome_of, searched, unjudged
from latent_agent.errors import BudgetSpent, EvaluationError, RewardError
from latent_agent.evaluation.bench import NAMESPACE, Answered, AnswerLog, Bench, Method
from latent_agent.evaluation.checking import KnownTruth
from latent_agent.evaluation.items import Item
from latent_agent.evaluation.records import best_said, most_voted
from latent_agent.model.sampling import Sampler
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.reward import Case, Reward, Score
from latent_agent.search.types import Candidate, SearchRecord, Trial

STREAM = "latentseek+stream"
Proposals = Iterable[Candidate]
Propose = Callable[[Call], Proposals]
"""Makes prefixes of a call whose draft stands, with a sampler each for what follows them."""


class Unasked(Reward):
    """No judge at all: every answer scores the same."""

    deterministic = False

    def score(self, case: Case) -> Score:  # noqa: ARG002
        """Accept nothing, refuse nothing."""
        return Score(value=-1.0)


def greedy(bench: Bench, item: Item) -> Answered:
    """Greedy chain of thought, unjudged."""
    plain = replace(bench.settings, max_iterations=0, temperature=0.0, samples=1)
    return replace(bench, settings=plain).search(item)


def self_consistency(bench: Bench, item: Item) -> Answered:
    """The greedy answer and K sampled ones; the majority over their final answers."""
    log = AnswerLog()
    call = replace(bench, reward=Unasked()).call(item, log)
    search, trials = SearchRecord(), list[Trial]()
    try:
        draft = call.scored_draft()
        trials.append(draft.trial)
        search.add_starts([draft], bench.settings.threshold)
        for row in _samples(bench):
            trials.append(call.attempt(row, "sample"))
            search.iterations += 1
    except BudgetSpent as spent:
        search.stopped = spent.reason
    if not trials:
        return Answered(outcome=unjudged(call, search))

    def voted(said: Sequence[Mapping[str, Any]]) -> int:
        return most_voted([bench.checker.final(item, one["text"]) for one in said])

    winner = trials[voted([{"text": trial.text} for trial in trials])]
    outcome = replace(searched(call, search, winner), rewards=())
    # The draft was reported twice, and has one vote; and what nobody judged has no reward.
    said = [{**one, "reward": None} for one in log.answers if one["reward"] is not None]
    return Answered(outcome=outcome, answers=said, choose=voted)


def best_of_n(bench: Bench, item: Item) -> Answered:
    """The greedy answer and up to K sampled ones, by the judge; it ends once one is accepted."""
    return propose(bench, item, lambda _: _samples(bench), "sample")


def latentseek(bench: Bench, item: Item) -> Answered:
    """LatentSeek without a memory."""
    return bench.search(item)


def with_memory(bench: Bench, item: Item) -> Answered:
    """LatentSeek that starts from neighbours."""
    return bench.search(item, reading(bench))


def with_prior(bench: Bench, item: Item) -> Answered:
    """LatentSeek that starts from the prior's guess."""
    return alone(bench).search(item, reading(bench, prior="prior"))


def with_both(bench: Bench, item: Item) -> Answered:
    """LatentSeek with memory and prior."""
    return bench.search(item, reading(bench, prior="prior"))


def along_the_stream(bench: Bench, item: Item) -> Answered:
    """LatentSeek with a memory that is empty at first and written along the questions."""
    if bench.stream is None:
        raise EvaluationError("a stream needs a memory of its own, got none; use `evaluate`")
    live = TraceMemory(bench.stream, NAMESPACE, bench.reward.id, "read-write", prior=None)
    return bench.search(item, live)


def truthful(method: Method) -> Method:
    """Return a method with the known truth for its judge (PSRM)."""

    def judged_by_truth(bench: Bench, item: Item) -> Answered:
        return method(replace(bench, reward=KnownTruth(bench.checker, item)), item)

    return judged_by_truth


def propose(bench: Bench, item: Item, proposals: Propose, source: str) -> Answered:
    """Try the draft, then up to K prefixes that ``proposals`` makes of the call, by the judge.

    Args:
        bench: What all methods share.
        item: What is answered.
        proposals: Makes what is tried after the draft.
        source: What the answers' source is called.
    """
    log = AnswerLog()
    call = bench.call(item, log)
    search = SearchRecord()
    try:
        search.stopped = _tried(call, search, bench, proposals, source)
    except BudgetSpent as spent:
        search.stopped = spent.reason
    except RewardError as failure:
        search.stopped, search.error = "reward_error", str(failure)
    if search.best is None:
        return Answered(outcome=unjudged(call, search))
    outcome = outcome_of(call, search)
    return Answered(outcome=outcome, answers=log.answers, choose=best_said)


def _tried(call: Call, search: SearchRecord, bench: Bench, proposals: Propose, source: str) -> str:
    """Try the draft and what is proposed; return why that ended."""
    settings, draft = bench.settings, call.scored_draft()
    if search.add_starts([draft], settings.threshold):
        return "threshold"
    for row in proposals(call):
        trial = call.attempt(row, source)
        search.iterations += 1
        if search.add_round([(draft.latents, [trial])], settings.threshold):
            return "threshold"
    return "iterations"


def _samples(bench: Bench) -> list[Candidate]:
    """Return K sampled answers to be tried one by one; they are written together.

    Those after one that is accepted are written for nothing, and nobody is charged for them.
    """
    steps = range(1, bench.settings.max_iterations + 1)

    def samplers() -> list[Sampler]:
        return [Sampler(bench.temperature, bench.settings.seed, step) for step in steps]

    bench.expect(samplers())
    return [Candidate(sampler=sampler) for sampler in samplers()]


def alone(bench: Bench) -> Bench:
    """Return the bench without neighbours: a prior starts alone."""
    return replace(bench, settings=replace(bench.settings, neighbours=0))


def reading(bench: Bench, memory: str = "memory", prior: str | None = None) -> TraceMemory:
    """Return a trace memory that only reads what training questions left behind.

    Args:
        bench: Which has been trained.
        memory: Which of the memories; see `Remembered`.
        prior: Under which name its report holds the version of the prior; None: no prior.

    Raises:
        EvaluationError: If nothing was trained.
    """
    past = bench.remembered
    if past is None:
        raise EvaluationError(
            "methods with a memory or a prior need training questions, got none; give --train"
        )
    version = None if prior is None else past.report[prior]
    return TraceMemory(
        getattr(past, memory), NAMESPACE, past.report["reward"], "read", prior=version
    )


METHODS: Mapping[str, Method] = {
    "greedy": greedy,
    "self-consistency": self_consistency,
    "best-of-n": best_of_n,
    "best-of-n+psrm": truthful(best_of_n),
    "latentseek": latentseek,
    "latentseek+psrm": truthful(latentseek),
    "latentseek+memory": with_memory,
    "latentseek+prior": with_prior,
    "latentseek+both": with_both,
    STREAM: along_the_stream,
}
