"""Calls that run at the same time share passes of the model, and none notices the others."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
import torch

from latent_agent.errors import CallCancelled
from latent_agent.model.batch_scheduler import BatchScheduler
from latent_agent.model.budget import Budget
from latent_agent.model.engine import AnswerLimits, Completion, Writing
from latent_agent.model.sampling import GREEDY
from latent_agent.model.transformers_engine.batched_cache import PaddedBatch, SequenceGroup
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.model.transformers_engine.kv_sequence import CachedSequence
from tests.support.engines import complete
from tests.support.tiny import tiny_model, tiny_tokenizer
from tests.support.work import SECONDS, Work, at_once, meeting, run_alone, run_together

pytestmark = pytest.mark.timeout(300)
ROWS = 6


def endless(name: str = "llama", dtype: torch.dtype = torch.float32) -> TransformersEngine:
    engine = TransformersEngine(tiny_model(name, dtype), tiny_tokenizer())
    engine.stop_ids = frozenset()
    return engine


@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt-neox", "qwen3-moe", "mistral"])
def test_rows_that_join_and_leave_at_any_time_change_no_answer(
    name: str, rows_of: list[int]
) -> None:
    engine = endless(name)
    works = [Work(seed) for seed in range(ROWS)]
    by_themselves = run_alone(engine, works)
    most = max(rows_of)
    rows_of.clear()
    pairs = zip(run_together(engine, works), by_themselves, strict=True)
    for (found, said, spent), (answers, replies, bill) in pairs:
        assert [answer.tokens for answer in found] == [answer.tokens for answer in answers]
        assert said == replies
        assert spent == bill  # padding is not counted
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


def test_a_row_that_has_ended_leaves_the_batch(rows_of: list[int]) -> None:
    engine = endless()
    rows_of.clear()
    rows = [
        Writing(
            prompt=list(range(5, 15)), prefix=(20 + place,), limits=AnswerLimits(max_tokens=length)
        )
        for place, length in enumerate([3, 9, 5, 9])
    ]
    together = engine.sequence(Budget()).write(rows, "draft")
    assert rows_of == [4, 4, 3, 3, 2, 2, 2, 2]  # the prefixes, then a token each
    for row, answer in zip(rows, together, strict=True):
        (alone,) = engine.sequence(Budget()).write([row], "draft")
        assert answer.tokens == alone.tokens
        torch.testing.assert_close(answer.latents, alone.latents)
