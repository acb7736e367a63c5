"""The parts that are measured side by side; each does the plan's whole work once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from dev.bench.floor import Floor
from dev.bench.plain import PlainLM, plain_latentseek
from dev.bench.plan import Bench
from dev.bench.record import Record
from dev.bench.rewards import SecondThoughts
from latent_agent.call.agent import LatentAgent
from latent_agent.call.outcome import Outcome
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.settings import settings_for
from latent_memory import LatentMemory


@dataclass(frozen=True, kw_only=True)
class Done:
    """What a part came to: forwarded tokens, and the answers' texts where it makes any."""

    forwarded: int
    answers: tuple[str, ...] = ()


Part = Callable[[], Done]


def reference(bench: Bench, _: Sequence[Record]) -> Part:
    """The method as published: no cache, every step regenerated, four judge generations."""

    def run() -> Done:
        lm = PlainLM(bench.model, bench.tokenizer, bench.shared.judge_prompts)
        reward = bench.plan.reward()
        answers = [
            lm.text(plain_latentseek(lm, reward, bench.settings, turn.content)[0])
            for turn in bench.turns
        ]
        return Done(forwarded=lm.forwarded, answers=tuple(answers))

    return run


def ours(bench: Bench, _: Sequence[Record]) -> Part:
    """The product's own call, without a memory."""
    agent = LatentAgent(bench.shared, bench.settings, bench.plan.reward())

    def run() -> Done:
        return _done([agent.answer([turn]) for turn in bench.turns])

    return run


def floor(bench: Bench, records: Sequence[Record]) -> Part:
    """Plain cached generation of exactly what must be read or written once."""

    def run() -> Done:
        floor = Floor(bench.model, bench.tokenizer)
        for work in records:
            floor.pay(work)
        return Done(forwarded=floor.forwarded)

    return run


def generate(bench: Bench, records: Sequence[Record]) -> Part:
    """Plain cached generation of one answer to each question."""

    def run() -> Done:
        floor = Floor(bench.model, bench.tokenizer)
        for work in records:
            floor.answer(work.prompt, len(work.answer))
        return Done(forwarded=floor.forwarded)

    return run


class _Warm:
    """Calls whose questions are remembered; the first ones are made before anything is measured."""

    def __init__(self, bench: Bench) -> None:
        self._turns = bench.turns
        folder = bench.opened.enter_context(TemporaryDirectory(prefix="latent-agent-bench-"))
        memory = bench.opened.enter_context(LatentMemory(Path(folder) / "memory.sqlite3"))
        reward = SecondThoughts(bench.plan.judge("logits"))
        settings = settings_for("default", max_tokens=bench.settings.max_tokens)
        traces = TraceMemory(memory, "bench", reward.id, "read-write")
        self._agent = LatentAgent(bench.shared, settings, reward, traces)
        self._answer()
        reward.decided = True

    def __call__(self) -> Done:
        outcomes = self._answer()
        assert all(outcome.iterations == 0 for outcome in outcomes), "a warm call passes at once"
        return _done(outcomes)

    def _answer(self) -> list[Outcome]:
        return [self._agent.answer([turn]) for turn in self._turns]


def warm(bench: Bench, _: Sequence[Record]) -> Part:
    """A call whose question is remembered: one warm start, one verdict by logits, accepted."""
    return _Warm(bench)


def _done(outcomes: Sequence[Outcome]) -> Done:
    return Done(
        forwarded=sum(sum(outcome.forwarded_tokens.values()) for outcome in outcomes),
        answers=tuple(outcome.text for outcome in outcomes),
    )


PARTS: Mapping[str, Callable[[Bench, Sequence[Record]], Part]] = {
    "reference": reference,
    "ours": ours,
    "floor": floor,
    "warm": warm,
    "generate": generate,
}
