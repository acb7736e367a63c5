"""What several methods want of one question is made once, and each is charged for it alone."""

import json
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from latent_agent.evaluation.answer_pool import AnswerPool
from latent_agent.evaluation.bench import Bench, attempt
from latent_agent.evaluation.meter import Meter
from latent_agent.evaluation.pooled_engine import PooledEngine
from latent_agent.evaluation.preparing import prepare
from latent_agent.evaluation.records import Record
from latent_agent.evaluation.report import spent
from latent_agent.evaluation.run import Finished, Plan, evaluate, peek
from latent_agent.evaluation.setup import EvaluationRequest, experiment, written
from latent_agent.evaluation.summary import summarise
from latent_agent.model.engine import AnswerLimits, Completion, Engine, Writing
from latent_agent.model.sampling import GREEDY, Sampler
from latent_agent.model.transformers_engine.kv_sequence import CachedSequence
from latent_agent.nights.job import Watch

pytestmark = pytest.mark.timeout(600)

METHODS = (
    "greedy,self-consistency,best-of-n,best-of-n:sampling=0.7,best-of-n+psrm,"
    "latentseek,latentseek+psrm,latentseek:judge=checks,latentseek:verdict=logits,noise,flip"
)
ASKED = EvaluationRequest(
    methods=METHODS, questions=4, draw=3, sampling=2.0, settings={"max_iterations": 3}
)
EVOLVE = replace(
    ASKED, methods="greedy,latentseek,latentseek:learning_rate=0.1", recipe="latentevolve",
    settings={"max_iterations": 2, "samples": 3},
)  # fmt: skip
TOGETHER = replace(ASKED, methods="greedy,self-consistency,best-of-n,latentseek", at_once=8)


def run(asked: EvaluationRequest, folder: Path) -> Finished:
    made = experiment(asked)
    return evaluate(made.bench, made.plan, folder, written(asked, made), Watch())


def alone(bench: Bench, plan: Plan) -> list[Record]:
    """Answer one after the other, with nothing shared."""
    return [
        attempt(
            spec.method,
            spec.on(bench, seed),
            item,
            Record(
                method=str(spec), seed=seed, item=item.key, place=place, family=item.family,
                planted=item.planted, question=item.question, truth=item.truth,
            ),
        )
        for seed, place, item, spec in plan.steps()
    ]  # fmt: skip


def untimed(records: Sequence[Record]) -> list[Any]:
    """All but the clock, as it is written down."""
    return json.loads(json.dumps([asdict(replace(record, seconds=0)) for record in records]))


@pytest.fixture(scope="module", params=[ASKED, EVOLVE], ids=["default", "latentevolve"])
def asked_alone(request: pytest.FixtureRequest) -> tuple[EvaluationRequest, list[Record]]:
    made = experiment(request.param)
    return request.param, alone(made.bench, made.plan)


def test_soft_prefixes_cost_what_they_cost_alone(tmp_path: Path) -> None:
    soft = "soft_walk", "soft_prefix", "soft_prefix:width=3:onward=best"
    methods = ",".join(f"latentseek+psrm:learning_rate=0.1:search={one}" for one in soft)
    asked = replace(ASKED, methods=f"greedy,{methods}", at_once=4)
    made = experiment(asked)
    apart = alone(made.bench, made.plan)
    assert untimed(run(asked, tmp_path).records) == untimed(apart)
    assert any(record.steps for record in apart)
    assert not any(record.error for record in apart)


def test_rounds_that_end_early_cost_what_they_cost_alone(tmp_path: Path) -> None:
    rounds = "latentseek+psrm:drafts=6:draft_temperature=2.5:width=4:max_iterations=1"
    methods = f"greedy,{rounds},{rounds}:round_ends=accepted"
    asked = replace(ASKED, methods=methods, at_once=4)
    made = experiment(asked)
    apart = alone(made.bench, made.plan)
    assert untimed(run(asked, tmp_path).records) == untimed(apart)
    costs = [
        sum(one.cost for one in apart if one.method.endswith(end))
        for end in ("max_iterations=1", "accepted")
    ]
    assert costs[1] < costs[0]


@pytest.mark.parametrize("at_once", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_answers_choices_and_costs_are_those_of_methods_alone(
    asked_alone: tuple[EvaluationRequest, list[Record]], at_once: int, tmp_path: Path
) -> None:
    asked, apart = asked_alone
    shared = run(replace(asked, at_once=at_once), tmp_path)
    assert untimed(shared.records) == untimed(apart)
    assert not any(record.error for record in apart)
    assert max(record.steps for record in apart) > 1
    assert shared.tokens is not None
    assert shared.tokens["charged"] == sum(record.cost for record in apart)
    if at_once > 1:
        assert shared.tokens["forwarded"] < 0.7 * shared.tokens["charged"]


@pytest.mark.slow
def test_what_a_recall_reads_is_shared_too(tmp_path: Path) -> None:
    asked = replace(
        ASKED, methods="latentseek+memory,latentseek+both,tokens", train="bundled:train",
        train_questions=42, night_calls=0, at_once=7,
    )  # fmt: skip
    shared, made = run(asked, tmp_path), experiment(asked)
    plan = made.plan
    past = prepare(made.bench, plan.days, tmp_path / "prepared", Watch(), plan.night)
    with closing(past):
        apart = alone(replace(made.bench, remembered=past), plan)
    assert untimed(shared.records) == untimed(apart)
    assert any(record.neighbours for record in apart)
    assert not any(record.error for record in apart)


def test_one_after_the_other_each_method_takes_its_own_time(tmp_path: Path) -> None:
    """And what it is charged is what the engine books."""
    tokens = run(replace(TOGETHER, methods="greedy,latentseek", at_once=1), tmp_path).tokens
    assert tokens is not None
    assert tokens["charged"] == tokens["forwarded"] > 0


def test_each_answer_is_written_once_and_the_samples_in_one_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = []
    batches: list[int] = []
    write = CachedSequence.write

    def seen(self: CachedSequence, new: Sequence[Writing], *given: Any) -> list[Completion]:
        states = [one.sampler.state for one in new]
        rows.extend(
            (tuple(one.prompt), tuple(one.prefix), state, one.limits)
            for one, state in zip(new, states, strict=True)
        )
        batches.append(sum(state != "greedy" for state in states))
        return write(self, new, *given)

    monkeypatch.setattr(CachedSequence, "write", seen)
    run(TOGETHER, tmp_path)
    assert len(rows) == len(set(rows))
    assert [count for count in batches if count] == [3] * 4


@pytest.mark.slow
def test_a_budget_may_cut_an_answer_short_so_that_nothing_is_shared(tmp_path: Path) -> None:
    limited = {"max_iterations": 3, "max_forwarded_tokens": 150}
    asked = replace(TOGETHER, settings=limited)
    made = experiment(asked)
    shared = run(asked, tmp_path)
    assert untimed(shared.records) == untimed(alone(made.bench, made.plan))
    assert "tokens" in {record.stopped for record in shared.records}
    assert shared.tokens is not None
    assert shared.tokens["charged"] == shared.tokens["forwarded"]


@pytest.mark.slow
def test_what_was_forwarded_is_told_and_survives_an_interruption(tmp_path: Path) -> None:
    def stop(_stage: str, done: int, _total: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    asked, made = TOGETHER, experiment(TOGETHER)
    told = written(asked, made)
    with pytest.raises(KeyboardInterrupt):
        evaluate(made.bench, made.plan, tmp_path, told, Watch(report=stop))
    kept = peek(tmp_path)[0].tokens
    assert kept is not None
    finished = evaluate(made.bench, made.plan, tmp_path, told, Watch())
    assert untimed(finished.records) == untimed(alone(made.bench, made.plan))
    tokens = finished.tokens
    assert tokens is not None
    assert kept["forwarded"] < tokens["forwarded"]
    assert tokens["charged"] == sum(record.cost for record in finished.records)
    assert peek(tmp_path)[0].tokens == tokens
    (line,) = spent(summarise(finished.records, None, tokens))
    assert f"{tokens['charged']:,} forwarded tokens" in line
    assert f"{tokens['forwarded']:,} in truth" in line
    again = evaluate(made.bench, made.plan, tmp_path, told, Watch())
    assert again.tokens == tokens


def test_answers_of_before_there_was_a_count_cost_what_they_were_charged(tmp_path: Path) -> None:
    record = Record(method="greedy", seed=0, item="1", place=0, forwarded={"draft": 30, "judge": 4})
    assert Meter(tmp_path / "forwarded.json", [record]).tokens == {"charged": 34, "forwarded": 34}


def row(prompt: Sequence[int] = (1, 2), **given: Any) -> Writing:
    return Writing(prompt=prompt, limits=AnswerLimits(max_tokens=9), **given)


def answer(*tokens: int) -> Completion:
    return Completion(tokens=tokens, text="", latents=torch.empty(0), finish="stop")


class Nothing:
    """A constraint of one call."""

    def mask(self, logits: torch.Tensor, tokens: Sequence[int]) -> torch.Tensor:
        raise AssertionError(tokens)


@pytest.fixture
def pool(tmp_path: Path) -> AnswerPool:
    return AnswerPool(Meter(tmp_path / "forwarded.json", []), threading.Event())


def test_who_waits_for_what_failed_elsewhere_makes_it(pool: AnswerPool) -> None:
    begun, fail = threading.Event(), threading.Event()

    def failing(_: Sequence[Writing]) -> list[Completion]:
        begun.set()
        assert fail.wait(20)
        raise OSError("no memory")

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(pool.rows, [row()], None, failing)
        assert begun.wait(20)
        second = threads.submit(pool.rows, [row()], None, lambda _: [answer(7)])
        assert not second.done()
        fail.set()
        with pytest.raises(OSError, match="no memory"):
            first.result(20)
        assert second.result(20)[0].tokens == (7,)


def test_two_that_want_each_others_rows_do_not_wait_for_ever(pool: AnswerPool) -> None:
    both = threading.Barrier(2, timeout=20)

    def ask(first: int, second: int) -> list[tuple[int, ...]]:
        def write(new: Sequence[Writing]) -> list[Completion]:
            return [answer(one.prefix[0]) for one in new]

        one, other = row(prefix=(first,)), row(prefix=(second,))
        pool.rows([one], None, write)
        both.wait()
        return [found.tokens for found in pool.rows([one, other], None, write)]

    with ThreadPoolExecutor(2) as threads:
        asked = [threads.submit(ask, 1, 2), threads.submit(ask, 2, 1)]
        assert [one.result(20) for one in asked] == [[(1,), (2,)], [(2,), (1,)]]


@pytest.mark.parametrize(
    "other",
    [
        row((1, 2, 3)),
        row(prefix=(4,)),
        row(latents=False),
        row(sampler=Sampler(1.0)),
        replace(row(), limits=AnswerLimits(max_tokens=8)),
        replace(row(), limits=AnswerLimits(max_tokens=9, stop=("end",))),
        row(on_token=print),
        row(sampler=Sampler(0.0, constraint=Nothing())),
    ],
)
def test_a_row_that_differs_is_written_itself(pool: AnswerPool, other: Writing) -> None:
    pool.rows([row()], None, lambda _: [answer(1)])
    assert pool.rows([row()], None, lambda _: [answer(2)])[0].tokens == (1,)
    assert pool.rows([other], None, lambda _: [answer(3)])[0].tokens == (3,)


def test_what_a_row_comes_to_may_hang_on_the_longest_prompt(pool: AnswerPool) -> None:
    """Near the end of the window, where it leaves all rows the least room."""

    def ask(window: int | None, rows: Sequence[Writing]) -> list[int]:
        found = pool.rows(rows, window, lambda new: [answer(len(new)) for _ in new])
        return [one.tokens[0] for one in found]

    one, other, third = row((1,)), row((1, 2)), row((1, 3))
    assert ask(10, [one]) == [1]
    assert ask(10, [one, other]) == [2, 2]
    assert ask(10, [other]) == [1]
    assert ask(11, [one, other, third]) == [1, 1, 1]
    assert ask(None, [other, third]) == [1, 1]


def test_logits_are_kept_of_the_first_judgements_alone(pool: AnswerPool) -> None:
    def ask(number: int, value: float) -> float:
        return pool.logits([[number]], lambda new: torch.full((len(new), 1), value)).item()

    assert [ask(number, 1.0) for number in range(66)] == [1.0] * 66
    assert [ask(number, 2.0) for number in range(66)] == [1.0] * 64 + [2.0] * 2


def test_what_a_sampler_draws_hangs_on_what_it_drew() -> None:
    ours, theirs, logits = Sampler(1.0, 1), Sampler(1.0, 1), torch.rand(50)
    assert ours.state == theirs.state
    ours.choose(logits)
    assert ours.state != theirs.state
    theirs.choose(logits)
    assert ours.state == theirs.state
    others = [Sampler(1.0, 2), Sampler(1.0, 1, 1), Sampler(1.0, 1, 0, 1), Sampler(0.9, 1),
              Sampler(1.0, 1, top_p=0.9), GREEDY]  # fmt: skip
    states = {one.state for one in (Sampler(1.0, 1), *others)}
    assert len(states) == 7
    assert GREEDY.state == Sampler(0.0, 5).state


def test_an_engine_around_a_pool_is_the_engine(pool: AnswerPool) -> None:
    engine = experiment(ASKED).bench.model.engine()
    pooled: Any = PooledEngine(engine, pool)
    for name in (*Engine.__annotations__, "vocabulary", "width", "slides"):
        assert getattr(pooled, name) == getattr(engine, name), name


def test_the_count_is_kept_as_json(tmp_path: Path) -> None:
    run(replace(TOGETHER, questions=1, methods="greedy"), tmp_path)
    kept = json.loads((tmp_path / "forwarded.json").read_text("utf-8"))
    assert kept["charged"] == kept["forwarded"] > 0
