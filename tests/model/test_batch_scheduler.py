"""Calls that run at the same time share passes of the model, and none notices the others."""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any

import pytest
import torch

from latent_agent.errors import CallCancelled
from latent_agent.model.batch_scheduler import BatchScheduler
from latent_agent.model.budget import Budget
from latent_agent.model.engine import AnswerLimits, Completion
from latent_agent.model.sampling import GREEDY, Sampler
from latent_agent.model.transformers_engine.batched_cache import PaddedBatch, SequenceGroup
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.model.transformers_engine.kv_sequence import CachedSequence
from latent_agent.reward.base import JudgeRequest
from latent_agent.reward.self_judge import SelfJudge
from tests.support.engines import complete
from tests.support.tiny import tiny_model, tiny_tokenizer

pytestmark = pytest.mark.timeout(300)
SECONDS = 120  # whoever waits longer waits for ever
ROWS = 6


class Work:
    """A seeded call: a ragged prompt, and several answers with some prefix in common."""

    def __init__(self, seed: int) -> None:
        random = Random(seed)
        self.prompt = random.choices(range(3, 500), k=random.randrange(1, 40))
        prefix = random.choices(range(3, 500), k=random.randrange(6))
        self.prefixes = [prefix[: random.randrange(len(prefix) + 1)] for _ in range(3)]
        self.lengths = [random.randrange(8, 30) for _ in self.prefixes]
        self.pauses = [random.choice((0, 0, 0.01)) for _ in self.prefixes]
        self.seed, self.temperature = seed, float(seed % 2)  # every other call samples
        self.requests = [
            JudgeRequest(prompt=f"{seed} is {'even ' * count}?", max_tokens=random.randrange(1, 9))
            for count in range(random.randrange(1, 4))
        ]

    def run(
        self, engine: TransformersEngine, budget: Budget, meet: threading.Barrier | None = None
    ) -> tuple[list[Completion], list[str]]:
        sequence, judge = CachedSequence(engine, budget), SelfJudge(engine, budget)
        answers: list[Completion] = []
        replies: list[str] = []
        for number, prefix in enumerate(self.prefixes):
            time.sleep(self.pauses[number])
            answer = complete(
                sequence, self.prompt, prefix,
                limits=AnswerLimits(max_tokens=self.lengths[number]),
                sampler=Sampler(self.temperature, self.seed, number),
                stage="refine", on_token=meeting(meet if number == 0 else None),
            )  # fmt: skip
            answers.append(answer)
            replies += judge.ask(self.requests)
        return answers, replies


def endless(name: str = "llama", dtype: torch.dtype = torch.float32) -> TransformersEngine:
    engine = TransformersEngine(tiny_model(name, dtype), tiny_tokenizer())
    engine.stop_ids = frozenset()
    return engine


def meeting(
    meet: threading.Barrier | None, on_token: Callable[[int], None] = lambda _: None
) -> Callable[[int], None]:
    """Let calls wait for one another at their first token, so that they do run together."""
    met = meet is None

    def told(token: int) -> None:
        nonlocal met
        if meet is not None and not met:
            met = True
            meet.wait(SECONDS)
        on_token(token)

    return told


def at_once(works: Sequence[Callable[[], Any]]) -> list[Future[Any]]:
    """Do each piece of work in a thread of its own."""
    with ThreadPoolExecutor(len(works)) as threads:
        return [threads.submit(work) for work in works]


@pytest.fixture
def rows_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each pass over single tokens had."""
    rows: list[int] = []
    states = TransformersEngine.states

    def seen(self: TransformersEngine, ids: torch.Tensor, *args: Any) -> torch.Tensor:
        if ids.shape[1] == 1:
            rows.append(ids.shape[0])
        return states(self, ids, *args)

    monkeypatch.setattr(TransformersEngine, "states", seen)
    return rows


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt-neox", "qwen3-moe", "mistral"])
def test_rows_that_join_and_leave_at_any_time_change_no_answer(
    name: str, rows_of: list[int]
) -> None:
    engine = endless(name)
    works = [Work(seed) for seed in range(ROWS)]
    alone: list[Any] = []
    for work in works:
        budget = Budget()
        alone.append((*work.run(engine, budget), budget.token_counts()))
    most = max(rows_of)
    rows_of.clear()
    budgets, meet = [Budget() for _ in works], threading.Barrier(ROWS)
    futures = at_once(
        [
            lambda work=work, budget=budget: work.run(engine, budget, meet)
            for work, budget in zip(works, budgets, strict=True)
        ]
    )
    for future, budget, (answers, replies, bill) in zip(futures, budgets, alone, strict=True):
        found, said = future.result()
        assert [answer.tokens for answer in found] == [answer.tokens for answer in answers]
        assert said == replies
        assert budget.token_counts() == bill  # padding is not counted
        for one, other in zip(found, answers, strict=True):
            torch.testing.assert_close(one.latents, other.latents, rtol=1e-3, atol=1e-3)
    # Models with a sliding window stay one by one, the others share passes.
    assert (max(rows_of) > most) == (not engine.slides)


def test_half_precision_keeps_to_one_head(rows_of: list[int]) -> None:
    """Tokens may be others than alone, but the latents still stand for them."""
    engine = endless("llama", torch.bfloat16)

    def answer(seed: int) -> Completion:
        return complete(CachedSequence(engine, Budget()), Work(seed).prompt, (), sampler=GREEDY,
            limits=AnswerLimits(max_tokens=25), stage="draft", on_token=meeting(meet),
        )  # fmt: skip

    meet = threading.Barrier(ROWS)
    for future in at_once([lambda seed=seed: answer(seed) for seed in range(ROWS)]):
        found = future.result()
        assert len(found.tokens) == 25
        assert engine.decode(found.latents, GREEDY) == found.tokens
    assert max(rows_of) > 1


def write(
    engine: TransformersEngine,
    seed: int,
    meet: threading.Barrier | None = None,
    on_token: Callable[[int], None] = lambda _: None,
    budget: Budget | None = None,
) -> tuple[int, ...]:
    return complete(CachedSequence(engine, budget or Budget()), Work(seed).prompt, (),
        limits=AnswerLimits(max_tokens=30), sampler=GREEDY, stage="draft",
        on_token=meeting(meet, on_token),
    ).tokens  # fmt: skip


def four(engine: TransformersEngine) -> list[Callable[[], tuple[int, ...]]]:
    meet = threading.Barrier(4)
    return [lambda seed=seed: write(engine, seed, meet) for seed in range(4)]


class LeavingError(Exception):
    """What a row's own code raises."""


@pytest.mark.parametrize("ending", ["cancelled", "raises"])
def test_a_row_that_ends_early_harms_no_other(ending: str, rows_of: list[int]) -> None:
    engine = endless()
    alone = [write(engine, seed) for seed in range(4)]
    rows_of.clear()
    cancelled, seen, meet = threading.Event(), [], threading.Barrier(4)

    def end(token: int) -> None:
        seen.append(token)
        if len(seen) == 7:
            if ending == "raises":
                raise LeavingError
            cancelled.set()

    budget = Budget(cancelled=cancelled)
    calls = [lambda: write(engine, 0, meet, end, budget)]
    calls += [lambda seed=seed: write(engine, seed, meet) for seed in range(1, 4)]
    first, *others = at_once(calls)
    assert isinstance(first.exception(), LeavingError if ending == "raises" else CallCancelled)
    assert seen == list(alone[0][:7])
    assert budget.total == len(Work(0).prompt) + 6  # no pass was made for it after that
    assert [other.result() for other in others] == alone[1:]
    assert max(rows_of) == 4


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> list[int]:
    """Let one pass of four rows fail after a layer has taken in its states."""
    states, passes = TransformersEngine.states, []

    def once(self: TransformersEngine, ids: torch.Tensor, cache: Any, *args: Any) -> torch.Tensor:
        passes.append(ids.shape[0])
        if passes.count(4) == 5 and passes[-1] == 4:
            layer = cache.layers[0]
            new = layer.keys[:, :, -1:] + 1
            layer.update(new, new)
            raise error
        return states(self, ids, cache, *args)

    monkeypatch.setattr(TransformersEngine, "states", once)
    return passes


def test_a_pass_that_fails_is_told_to_every_row_and_the_model_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = endless()
    alone = [write(engine, seed) for seed in range(4)]
    failing(monkeypatch, MemoryError("no room"))
    errors = [future.exception() for future in at_once(four(engine))]
    assert [str(error) for error in errors] == ["no room"] * 4
    assert [future.result() for future in at_once(four(engine))] == alone


def test_an_interrupt_ends_the_call_whose_thread_it_met_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = endless()
    alone = [write(engine, seed) for seed in range(4)]
    failing(monkeypatch, KeyboardInterrupt())
    futures = at_once(four(engine))
    stopped = [isinstance(future.exception(), KeyboardInterrupt) for future in futures]
    assert stopped.count(True) == 1
    left = [place for place, ended in enumerate(stopped) if not ended]
    assert [futures[place].result() for place in left] == [alone[place] for place in left]


def test_a_row_that_cannot_take_its_states_along_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = endless()
    alone = [write(engine, seed) for seed in range(4)]
    write_back, refused = PaddedBatch.write_back, []

    def once(self: PaddedBatch, group: SequenceGroup, *, copy: bool) -> None:
        if copy and not refused:
            refused.append(group)
            raise MemoryError
        write_back(self, group, copy=copy)

    monkeypatch.setattr(PaddedBatch, "write_back", once)
    futures = at_once(four(engine))
    failed = [isinstance(future.exception(), MemoryError) for future in futures]
    assert failed.count(True) == 1
    left = [place for place, ended in enumerate(failed) if not ended]
    assert [futures[place].result() for place in left] == [alone[place] for place in left]


def test_a_call_that_is_alone_is_not_batched(rows_of: list[int]) -> None:
    engine = endless()
    write(engine, 0)
    assert set(rows_of) == {1}
    passes: Any = engine.scheduler._passes
    assert passes.batch is None


def test_a_row_that_joins_before_a_pass_begins_is_not_in_it(
    monkeypatch: pytest.MonkeyPatch, rows_of: list[int]
) -> None:
    engine = endless()
    alone = [write(engine, seed) for seed in range(2)]
    scheduler, run_pass = engine.scheduler, BatchScheduler._run_pass
    others: list[Future[tuple[int, ...]]] = []

    def late(self: BatchScheduler, *args: Any) -> None:
        """Once the model is claimed for the first row, let the second join before the pass."""
        if not others:
            others.append(threads.submit(write, engine, 1))
            waited = time.monotonic() + SECONDS
            while len(scheduler._groups) < 2 and time.monotonic() < waited:
                time.sleep(0.001)
        run_pass(self, *args)

    monkeypatch.setattr(BatchScheduler, "_run_pass", late)
    rows_of.clear()
    with ThreadPoolExecutor(1) as threads:
        assert write(engine, 0) == alone[0]
        assert others[0].result(SECONDS) == alone[1]
    assert rows_of[0] == 1
    assert max(rows_of) == 2


def test_rows_that_come_and_go_during_a_pass_change_no_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    engine = endless()
    alone = [write(engine, seed) for seed in range(2)]
    states, others = TransformersEngine.states, []

    def held(self: TransformersEngine, ids: torch.Tensor, *args: Any) -> torch.Tensor:
        """Hold one pass over single tokens while a call joins, and another comes and goes."""
        if ids.shape[1] == 1 and not others:
            others.append(threads.submit(write, engine, 1))
            waited = time.monotonic() + SECONDS
            while len(self.scheduler._groups) < 2 and time.monotonic() < waited:
                time.sleep(0.001)
            ended = complete(CachedSequence(self, Budget()), [7], [8],
                limits=AnswerLimits(max_tokens=1), sampler=GREEDY, stage="refine",
            )  # fmt: skip
            assert ended.tokens == (8,)
        return states(self, ids, *args)

    monkeypatch.setattr(TransformersEngine, "states", held)
    with ThreadPoolExecutor(1) as threads:
        assert write(engine, 0) == alone[0]
        assert others[0].result(SECONDS) == alone[1]
