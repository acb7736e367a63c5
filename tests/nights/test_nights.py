"""Nights: what wins is published, what does not is not, and a kill leaves the champion active."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from apscheduler.triggers.base import BaseTrigger
from sqlalchemy import text

import latent_migrations
from latent_agent.call.agent import LatentAgent
from latent_agent.call.stored_call import StoredCall
from latent_agent.errors import (
    NightRunningError,
    NightStoppedError,
    PriorError,
    RewardError,
    SettingError,
)
from latent_agent.model.conversation import Turn
from latent_agent.nights.cron import cron_trigger
from latent_agent.nights.gate import chance
from latent_agent.nights.job import Watch, plan
from latent_agent.nights.lock import night_lock
from latent_agent.nights.night import consolidate
from latent_agent.nights.regression_set import Anchor, read_anchors
from latent_agent.nights.replay import pick_questions
from latent_agent.nights.scheduler import ConsolidationScheduler, Nights
from latent_agent.recall.active_prior import ActivePrior, prior_path
from latent_agent.recall.memory_adapter import TraceMemory
from latent_agent.recall.open_memory import Mode
from latent_agent.recall.prior_checkpoint import load_prior, save_prior
from latent_agent.reward import CallableReward, ExactMatch, FormatReward, SelfReward, WeightedSum
from latent_agent.reward.rebuild import reward_from_id
from latent_memory import LatentMemory, Shelf, StoredTrace, TraceError
from latent_memory.priors.nights import begin_night, count_new, list_nights
from latent_memory.priors.priors import (
    UnknownPriorError,
    active_prior,
    list_priors,
    priors_folder,
    source_of,
)
from latent_memory.priors.publishing import (
    note_file,
    publish,
    reserve,
    roll_back,
    withdraw_forgotten,
)
from tests.support.night_world import (
    SEARCH,
    SETTINGS,
    day,
    draft_trace_for,
    job,
    model,
    open_at,
    questions,
    right,
    shelf_of,
    shuffled,
    trace_for,
    wrong_trace_for,
    yes,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with open_at(tmp_path) as opened:
        yield opened


def now(memory: LatentMemory, shelf: Shelf) -> int | None:
    found = active_prior(memory.database, shelf)
    return None if found is None else found.version


def figures(report, name):
    return report.figures["gate"]["contestants"][name]


# ---------------------------------------------------------------------------- the good night


def test_a_night_publishes_a_prior_that_saves_steps(memory: LatentMemory) -> None:
    shelf = day(memory)
    report = consolidate(job(memory, shelf))
    assert (report.verdict, report.version, now(memory, shelf)) == ("published", 1, 1)
    assert figures(report, "candidate")["at_once"] > 0.9
    assert figures(report, "neither")["at_once"] < 0.1
    assert report.figures["gate"]["chance"]["neither"] < 0.05
    prior = ActivePrior.for_shelf(memory, shelf)
    assert prior is not None
    assert (prior.version, prior.prefix_tokens) == ("1", 2)


def test_every_night_is_a_row(memory: LatentMemory) -> None:
    shelf = day(memory)
    report = consolidate(job(memory, shelf, anchors=[]))
    (night,) = list_nights(memory.database)
    assert night.result is not None
    assert (night.id, night.result.verdict) == (report.night, "published")
    assert night.result.losses == report.figures["losses"]
    assert night.result.gate == json.loads(json.dumps(report.figures["gate"]))
    assert night.result.seconds > 0
    assert night.inputs["settings"]["hidden"] == SETTINGS.hidden
    assert night.result.last == 120


def test_nothing_new_nothing_done(memory: LatentMemory) -> None:
    shelf = day(memory)
    waiting = job(memory, shelf, settings=replace(SETTINGS, if_new=121))
    assert consolidate(waiting).verdict == "idle"
    assert list_nights(memory.database) == []
    assert consolidate(job(memory, shelf)).verdict == "published"
    assert count_new(memory.database, shelf) == 0
    assert consolidate(job(memory, shelf)).verdict == "idle"


def test_a_dry_run_changes_nothing(memory: LatentMemory) -> None:
    shelf = day(memory)
    report = plan(job(memory, shelf))
    assert report.verdict == "planned"
    assert report.figures["trained"] + report.figures["held_out"] == 120
    assert list_priors(memory.database) == list_nights(memory.database) == []


def test_the_same_seed_gives_the_same_prior(tmp_path: Path) -> None:
    checksums = []
    for name in ("one", "two"):
        with open_at(tmp_path / name) as memory:
            consolidate(job(memory, day(memory)))
            path = prior_path(memory.path, "1.safetensors")
            checksums.append(path.read_bytes())
    assert checksums[0] == checksums[1]


def test_shelves_do_not_mix_unless_it_is_said_by_name(memory: LatentMemory) -> None:
    ann, ben = day(memory, namespace="ann"), day(memory, 40, start=500, namespace="ben")
    report = consolidate(job(memory, ann))
    assert (now(memory, ann), now(memory, ben)) == (report.version, None)
    assert ActivePrior.for_shelf(memory, ben) is None
    assert report.figures["trained"] + report.figures["held_out"] == 120
    shared = consolidate(job(memory, ben, share=("ann",)))
    assert shared.figures["trained"] + shared.figures["held_out"] == 160
    day(memory, 8, start=800, namespace="ben")
    with pytest.raises(PriorError, match=r"none in \['carl'\]"):
        consolidate(job(memory, ben, share=("carl",)))


def test_a_second_night_learns_what_is_new_and_keeps_the_old(memory: LatentMemory) -> None:
    shelf = day(memory, colours=("red", "blue"))
    first = consolidate(job(memory, shelf))
    day(memory, start=200, colours=("green", "black"))
    second = consolidate(job(memory, shelf))
    assert (first.verdict, second.verdict) == ("published", "published")
    assert second.figures["champion"] == first.version
    champion, candidate = figures(second, "champion"), figures(second, "candidate")
    assert champion["at_once"] < 0.75  # the old colours alone
    assert candidate["at_once"] > 0.9  # all of them


def test_with_nothing_left_to_save_the_champion_stays(memory: LatentMemory) -> None:
    shelf = day(memory)
    consolidate(job(memory, shelf))
    day(memory)  # the same questions again
    assert consolidate(job(memory, shelf)).verdict == "refused"
    assert now(memory, shelf) == 1


# --------------------------------------------------------------------------- the gate refuses


def test_traces_with_flipped_rewards_publish_nothing(memory: LatentMemory) -> None:
    shelf = day(memory, make=wrong_trace_for)
    report = consolidate(job(memory, shelf))
    assert (report.verdict, now(memory, shelf)) == ("refused", None)
    assert "with no prior" in report.reason


def test_a_judge_that_always_says_yes_publishes_nothing(memory: LatentMemory) -> None:
    shelf = day(memory, reward=yes, make=draft_trace_for)
    report = consolidate(job(memory, shelf))
    assert (report.verdict, now(memory, shelf)) == ("refused", None)


def test_a_judge_that_always_says_yes_of_wrong_answers_publishes_nothing(
    memory: LatentMemory,
) -> None:
    shelf = day(memory, reward=yes, make=wrong_trace_for)
    assert consolidate(job(memory, shelf)).verdict == "refused"
    assert now(memory, shelf) is None


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_latents_make_no_answer_worse(memory: LatentMemory, seed: int) -> None:
    shelf = shelf_of(CallableReward(right))
    memory.add_many(shuffled([trace_for(question, shelf) for question in questions(120)], seed))
    report = consolidate(job(memory, shelf))
    candidate, neither = figures(report, "candidate"), figures(report, "neither")
    assert report.verdict == "refused" or candidate["reward"] >= neither["reward"]
    assert report.verdict == "refused" or candidate["steps"] < neither["steps"]


def test_anchors_refuse_what_the_judge_would_publish(memory: LatentMemory) -> None:
    """Without a prior the random model's answers are its drafts; they are the truth here."""
    from latent_agent.nights.replay import Replayer

    shelf = day(memory)
    bench = Replayer(model=model(), settings=SEARCH, reward=CallableReward(right))
    asked = questions(8, start=900)
    drafts = [bench.replay(StoredCall.question(question), None).text for question in asked]
    anchors = [
        Anchor(question=question, answer=draft)
        for question, draft in zip(asked, drafts, strict=True)
    ]
    report = consolidate(job(memory, shelf, anchors=anchors))
    known = report.figures["gate"]["anchors"]
    assert known["questions"] == 8
    assert (report.verdict == "refused") == (
        known["right"]["candidate"] < known["right"]["neither"]
    )


def test_a_namespace_that_is_forgotten_while_its_night_trains(memory: LatentMemory) -> None:
    """What such a night leaves with is caught by schedulers, wherever it was by then."""
    shelf, database = day(memory), memory.database
    learnt_from = source_of(database, shelf)
    assert learnt_from is not None

    def forget(stage: str, *_: int) -> None:
        if stage == "training":
            memory.forget(namespace=shelf.namespace)

    with pytest.raises(PriorError):
        consolidate(job(memory, shelf, watch=Watch(report=forget)))
    with pytest.raises(UnknownPriorError, match="was forgotten while the night trained"):
        reserve(database, [learnt_from], night=1, positions=2)
    with pytest.raises(TraceError, match=r"holds none .*; ask more"):
        begin_night(database, shelf, seed=0, inputs={})
    assert list_priors(database) == list_nights(database) == []
    assert memory.verify() == []


def test_too_few_questions_to_judge_by_publish_nothing(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "silent.sqlite3", store_text=False) as memory:
        shelf = day(memory)
        report = consolidate(job(memory, shelf))
        assert (report.verdict, now(memory, shelf)) == ("unjudged", None)
        assert "0 questions that can be asked again are too few" in report.reason
        assert report.version == 1
        publish(memory.database, 1)  # an operator may
        assert now(memory, shelf) == 1


def test_a_reward_that_cannot_be_rebuilt_trains_and_publishes_nothing(
    memory: LatentMemory,
) -> None:
    shelf = replace(shelf_of(CallableReward(right)), reward="no_such_module:judge")
    memory.add_many([trace_for(question, shelf) for question in questions(120)])
    report = consolidate(job(memory, shelf))
    assert (report.verdict, now(memory, shelf), report.version) == ("unjudged", None, 1)
    assert "trained, but not published" in report.reason
    assert "--reward module:attribute" in report.reason
    day(memory, 8, start=700, make=lambda question, _: trace_for(question, shelf))
    assert consolidate(job(memory, shelf, reward=CallableReward(right))).verdict == "published"


@pytest.mark.parametrize(
    ("savings", "p"),
    [([1, 1, 1, 1, 1], 1 / 32), ([], 1.0), ([0, 0], 1.0), ([-1, -1], 1.0), ([2, -1], 0.5)],
)
def test_the_paired_test_is_exact(savings: list[int], p: float) -> None:
    assert chance(savings) == pytest.approx(p)


def test_the_paired_test_agrees_with_drawing_signs() -> None:
    rng = np.random.default_rng(0)
    savings = rng.integers(-3, 8, 25)
    signs = rng.choice([-1, 1], (200_000, 25))
    drawn = ((signs * np.abs(savings)).sum(1) >= savings.sum()).mean()
    assert chance(savings.tolist()) == pytest.approx(drawn, abs=0.005)


def test_questions_are_picked_from_both_sides_of_the_last_night(memory: LatentMemory) -> None:
    shelf = day(memory, 200)
    traces = list(memory.stream(shelf))
    picked = pick_questions(traces, 10, since=100, seed=0)
    ids = {stored.trace.query: stored.id for stored in traces}
    assert len(set(picked)) == 10
    assert sum(ids[asked.turns[-1].content] > 100 for asked in picked) == 5
    assert picked == pick_questions(reversed_twice(traces), 10, since=100, seed=0)
    assert picked != pick_questions(traces, 10, since=100, seed=1)


def reversed_twice(traces: list[StoredTrace]) -> list[StoredTrace]:
    """Each trace twice: a question asked again is no second question."""
    return [stored for stored in traces for _ in range(2)]


# -------------------------------------------------------------------------------- bad input


def test_too_little_to_learn_from_is_said(memory: LatentMemory) -> None:
    shelf = shelf_of(CallableReward(right))
    assert consolidate(job(memory, shelf)).verdict == "idle"  # no traces at all
    day(memory, 10)
    with pytest.raises(PriorError, match="needs at least 20 traces"):
        consolidate(job(memory, shelf))
    (night,) = list_nights(memory.database)
    assert night.result is not None
    assert night.result.verdict == "failed"


def test_rewards_all_equal_are_fine_and_all_worst_are_not(memory: LatentMemory) -> None:
    def worst(question: str, shelf: Shelf):
        return replace(trace_for(question, shelf), score=-1.0)

    shelf = day(memory, make=worst, namespace="worst")
    with pytest.raises(PriorError, match="reward is above -1"):
        consolidate(job(memory, shelf))


@pytest.mark.parametrize("array", ["embedding", "base", "optimised"])
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # while NaNs are packed
def test_nan_in_stored_traces_is_skipped(memory: LatentMemory, array: str) -> None:
    from latent_memory import trace_rows as rows

    shelf = day(memory)
    nan = trace_for("Item 5000 is red.", shelf)
    nan = replace(nan, **{array: getattr(nan, array) * np.nan})
    with memory.database.write() as connection:
        rows.insert_trace(connection, nan, datetime.now(UTC))
    assert next(memory.stream(shelf, after=120)).trace.query == nan.query  # it is read as it is
    report = consolidate(job(memory, shelf))
    assert (report.verdict, report.figures["skipped"]) == ("published", 1)
    asked = [Turn("user", "Item 5000 is red.")]
    outcome = agent(memory, neighbours=5).answer(asked)  # with it for a neighbour
    if array == "embedding":  # nothing can be recalled beside it
        assert outcome.memory_error is not None
        assert "must be as they were stored" in outcome.memory_error
    else:
        assert outcome.text == agent(memory).answer(asked).text  # without neighbours


def test_tokens_that_the_model_does_not_have_are_skipped(memory: LatentMemory) -> None:
    """An import may bring any; a warm start reads none of them."""
    shelf = day(memory)
    unknown = model().backbone().vocabulary
    strange = trace_for("Item 5000 is red.", shelf)
    for token in (unknown, 10**9):
        memory.add(replace(strange, tokens=(token, *strange.tokens[1:])))
    memory.add(replace(strange, tokens=(unknown - 1, *strange.tokens[1:])))
    report = consolidate(job(memory, shelf))
    assert (report.verdict, report.figures["skipped"]) == ("published", 2)
    outcome = agent(memory, neighbours=5).answer([Turn("user", "Item 5000 is red.")])
    assert {121, 122} <= set(outcome.neighbours)
    assert (outcome.memory_error, outcome.error) == (None, None)


def test_latents_of_another_width_are_named(memory: LatentMemory) -> None:
    shelf = day(memory)
    with LatentMemory(memory.path.with_name("narrow.sqlite3")) as narrow:
        for stored in memory.stream(shelf):
            trace = stored.trace
            narrow.add(replace(trace, base=trace.base[:, :8], optimised=trace.optimised[:, :8]))
        with pytest.raises(PriorError, match=r"as wide as the model's, \d+, got 8 in namespace"):
            consolidate(job(narrow, shelf))


def test_a_clock_that_jumped_back_changes_no_night(memory: LatentMemory) -> None:
    from latent_memory import trace_rows as rows

    shelf = shelf_of(CallableReward(right))
    made = [trace_for(question, shelf) for question in questions(120)]
    for year, half in ((2099, made[:60]), (2001, made[60:])):
        with memory.database.write() as connection:
            for trace in half:
                rows.insert_trace(connection, trace, datetime(year, 1, 1, tzinfo=UTC))
    assert count_new(memory.database, shelf) == 120
    report = consolidate(job(memory, shelf))
    assert (report.verdict, count_new(memory.database, shelf)) == ("published", 0)


class _Missed(BaseTrigger):
    """Each hour, and five times are gone by at the first look: the clock jumped ahead."""

    def get_next_fire_time(self, previous_fire_time: datetime | None, now: datetime) -> Any:
        if previous_fire_time is None:
            return now - timedelta(hours=4)
        return previous_fire_time + timedelta(hours=1)


def test_a_clock_that_jumped_ahead_brings_one_night_not_all_that_were_missed() -> None:
    runs: list[datetime] = []
    came = threading.Event()

    def run() -> None:
        runs.append(datetime.now(UTC))
        came.set()

    nights = Nights(run, _Missed())
    nights.start()
    assert came.wait(30)
    nights.stop()
    assert len(runs) == 1


def test_one_kind_of_question_alone_is_enough(memory: LatentMemory) -> None:
    shelf = shelf_of(CallableReward(right))
    memory.add_many([trace_for(f"Item {n} is red.", shelf) for n in range(160)])
    assert consolidate(job(memory, shelf)).verdict == "published"


# ------------------------------------------------------------------- versions, files, forgetting


def published_twice(memory: LatentMemory) -> Shelf:
    """The first prior reads traces 1 to 120, the second 1 to 240."""
    shelf = day(memory, colours=("red", "blue"))
    consolidate(job(memory, shelf))
    day(memory, start=200, colours=("green", "black"))
    consolidate(job(memory, shelf))
    return shelf


def test_rollback_goes_back_step_by_step(memory: LatentMemory) -> None:
    shelf = published_twice(memory)
    database = memory.database
    assert now(memory, shelf) == 2
    gone, left = roll_back(database, shelf)
    assert (gone.version, left and left.version, now(memory, shelf)) == (2, 1, 1)
    assert roll_back(database, shelf)[1] is None
    with pytest.raises(UnknownPriorError, match="must be active to be rolled back"):
        roll_back(database, shelf)
    publish(database, 2)
    assert now(memory, shelf) == 2


def test_the_order_of_publications_counts_not_the_clock(memory: LatentMemory) -> None:
    shelf = published_twice(memory)
    with memory.database.write() as connection:  # the clock was an hour ahead at first
        connection.execute(text("UPDATE priors SET published_at = published_at * (3 - id)"))
    assert now(memory, shelf) == 2


def test_calls_during_publishing_are_each_made_with_one_whole_version(
    memory: LatentMemory,
) -> None:
    shelf = published_twice(memory)
    database, trace = memory.database, trace_for("Item 1 is blue.", shelf)
    base, known = torch.from_numpy(trace.base), {}
    for version in ("1", "2"):
        prior = ActivePrior.for_shelf(memory, shelf, version)
        assert prior is not None
        known[version] = prior.correct(trace.embedding, base)
    assert not torch.equal(known["1"], known["2"])
    over, seen = threading.Event(), []

    def call() -> None:
        while not over.is_set():
            prior = ActivePrior.for_shelf(memory, shelf)
            assert prior is not None
            seen.append(prior.version)
            assert torch.equal(prior.correct(trace.embedding, base), known[prior.version])

    with ThreadPoolExecutor(3) as pool:
        calls = [pool.submit(call) for _ in range(3)]
        for number in range(40):
            publish(database, 1 + number % 2)
        over.set()
        for done in calls:
            done.result()
    assert set(seen) == {"1", "2"}


def agent(
    memory: LatentMemory, prior: str | None = "auto", mode: Mode = "read", neighbours: int = 0
) -> LatentAgent:
    """What answers questions of the small world."""
    reward = CallableReward(right)
    shelf = TraceMemory(memory, "default", reward.id, mode=mode, prior=prior)
    return LatentAgent(model(), replace(SEARCH, neighbours=neighbours), reward, shelf)


def test_calls_go_on_during_nights_each_answered_with_one_whole_version(
    memory: LatentMemory,
) -> None:
    shelf = day(memory, colours=("red", "blue"))
    asked = questions(8, start=900)
    answers: list[tuple[str, str | None, str]] = []
    over = threading.Event()

    def call() -> None:
        calls = agent(memory, mode="read-write")
        for question in cycle(asked):
            outcome = calls.answer([Turn("user", question)])
            assert outcome.memory_error is None
            answers.append((question, outcome.prior, outcome.text))
            if over.is_set():
                return

    def wait_for(version: str | None, count: int) -> None:
        while sum(prior == version for _, prior, _ in answers) < count:
            assert not any(done.done() for done in calls)  # a call that failed, not one that waits
            time.sleep(0.01)

    with ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(call) for _ in range(2)]
        try:
            wait_for(None, 2 * len(asked))
            for version, colours in (("1", ("red", "blue")), ("2", ("green", "black"))):
                day(memory, start=200 * int(version), colours=colours)
                before = len(answers)
                assert consolidate(job(memory, shelf)).verdict == "published"
                assert len(answers) > before + len(calls)  # given while the night went on
                wait_for(version, 2 * len(asked))
        finally:
            over.set()
        for done in calls:
            done.result()
    assert {prior for _, prior, _ in answers} == {None, "1", "2"}
    expected = {
        (question, version): agent(memory, version).answer([Turn("user", question)]).text
        for question in asked
        for version in (None, "1", "2")
    }
    assert any(expected[question, "1"] != expected[question, "2"] for question in asked)
    assert all(text == expected[question, prior] for question, prior, text in answers)


def test_a_damaged_file_is_left_aside_with_a_warning(memory: LatentMemory) -> None:
    shelf = day(memory)
    consolidate(job(memory, shelf))
    path = prior_path(memory.path, "1.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.warns(UserWarning, match="prior 1 is not used"):
        assert ActivePrior.for_shelf(memory, shelf) is None
    path.write_bytes(whole)
    assert ActivePrior.for_shelf(memory, shelf) is not None


def test_with_a_damaged_prior_a_call_answers_without_it(memory: LatentMemory) -> None:
    asked = [Turn("user", "Item 900 is red.")]
    shelf = day(memory)
    plain = agent(memory).answer(asked)
    consolidate(job(memory, shelf))
    prior_path(memory.path, "1.safetensors").write_bytes(b"no prior")
    with pytest.warns(UserWarning, match="prior 1 is not used"):
        outcome = agent(memory).answer(asked)
    assert (outcome.text, outcome.prior) == (plain.text, None)


def test_a_prior_of_another_model_is_left_aside(memory: LatentMemory) -> None:
    shelf = day(memory)
    consolidate(job(memory, shelf))
    path = prior_path(memory.path, "1.safetensors")
    network, card = load_prior(path)
    path.unlink()
    signed = save_prior(network, replace(card, fingerprint="another"), path)
    note_file(memory.database, 1, path.name, signed.checksum)
    with pytest.warns(UserWarning, match=r"of the version, checksum, model.*'another'"):
        assert ActivePrior.for_shelf(memory, shelf) is None


def test_a_file_of_another_shelf_is_left_aside(memory: LatentMemory) -> None:
    ann, ben = day(memory, namespace="ann"), day(memory, namespace="ben")
    consolidate(job(memory, ann))
    consolidate(job(memory, ben))
    folder = priors_folder(memory.path)
    (folder / "1.safetensors").replace(folder / "2.safetensors")
    with pytest.warns(UserWarning, match="of the version, checksum, model, reward and namespace"):
        assert ActivePrior.for_shelf(memory, ben) is None


@pytest.mark.parametrize("name", ["../out.safetensors", "/etc/passwd", "a/b.safetensors"])
def test_no_path_from_the_database_leaves_the_folder(memory: LatentMemory, name: str) -> None:
    shelf = day(memory)
    consolidate(job(memory, shelf))
    with memory.database.write() as connection:
        connection.execute(text("UPDATE priors SET file = :name"), {"name": name})
    with pytest.warns(UserWarning, match="must lie in"):
        assert ActivePrior.for_shelf(memory, shelf) is None


def test_old_files_are_pruned_and_strays_removed(memory: LatentMemory) -> None:
    settings = replace(SETTINGS, keep=1)
    shelf = day(memory)
    consolidate(job(memory, shelf))
    folder = priors_folder(memory.path)
    (folder / "9.safetensors.123.tmp").write_text("half")
    for start in (300, 400, 500):
        day(memory, 8, start=start)
        consolidate(job(memory, shelf, settings=settings))
    files = {path.name for path in folder.glob("*.safetensors*")}
    newest = max(prior.version for prior in list_priors(memory.database) if prior.file)
    assert files == {"1.safetensors", f"{newest}.safetensors"}
    assert now(memory, shelf) == 1


def test_a_forgotten_trace_makes_its_priors_stale(memory: LatentMemory) -> None:
    shelf = published_twice(memory)
    memory.forget(ids=[3])
    assert [prior.stale for prior in list_priors(memory.database)] == [True, True]
    assert now(memory, shelf) == 2  # until the next night
    with pytest.raises(UnknownPriorError, match="was forgotten"):
        publish(memory.database, 1)
    report = consolidate(job(memory, shelf))  # due, though nothing is new
    assert report.figures["champion"] is None  # nothing of the old weights is used
    assert (report.verdict, now(memory, shelf)) == ("published", 3)
    folder = priors_folder(memory.path)
    assert {path.name for path in folder.glob("*.safetensors")} == {"3.safetensors"}


def test_strict_forgetting_withdraws_at_once(memory: LatentMemory) -> None:
    shelf = published_twice(memory)
    memory.forget(ids=[127])  # only the second prior read it
    with memory.database.write() as connection:
        withdraw_forgotten(connection)
    assert now(memory, shelf) == 1


def test_forgetting_a_namespace_takes_its_priors_along(memory: LatentMemory) -> None:
    day(memory, namespace="ann")
    shelf = day(memory, namespace="ben")
    consolidate(job(memory, shelf, share=("ann",)))
    memory.forget(namespace="ann")
    assert [prior.stale for prior in list_priors(memory.database)] == [True]
    memory.forget(namespace="ben")
    assert list_priors(memory.database) == list_nights(memory.database) == []


def test_a_database_of_the_first_revision_is_brought_up_with_its_rows(tmp_path: Path) -> None:
    from latent_memory import migrate

    with open_at(tmp_path) as memory:
        shelf = day(memory, 40)
        with memory.database.write() as connection:
            for table in ("sources", "priors", "nights", "limits", "erasures", "admissions"):
                connection.execute(text(f"DROP TABLE {table}"))
            connection.execute(text("ALTER TABLE deletions DROP COLUMN evicted"))
            for column in ("conversation", "settings"):
                connection.execute(text(f"ALTER TABLE texts DROP COLUMN {column}"))
            connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    done = migrate(tmp_path / "memory.sqlite3")
    assert (done.current, done.head) == ("0001", latent_migrations.head())
    with open_at(tmp_path) as memory:
        assert len(list(memory.stream(shelf))) == 40
        assert consolidate(job(memory, shelf)).verdict in ("published", "unjudged", "refused")


# ------------------------------------------------------------------------ locks, stops, kills


def test_two_nights_at_once_the_second_says_who_holds_the_lock(memory: LatentMemory) -> None:
    shelf = day(memory)
    with night_lock(memory.path), pytest.raises(NightRunningError, match=f"process {os.getpid()}"):
        consolidate(job(memory, shelf))
    assert consolidate(job(memory, shelf)).verdict == "published"


@pytest.mark.parametrize("stage", ["training", "judging"])
def test_told_to_stop_it_stops_and_the_next_one_succeeds(memory: LatentMemory, stage: str) -> None:
    shelf = day(memory)
    stop = threading.Event()

    def report(at: str, done: int, total: int) -> None:
        if at == stage and done > 2:
            stop.set()

    with pytest.raises(NightStoppedError, match="nothing was published"):
        consolidate(job(memory, shelf, watch=Watch(report=report, stop=stop)))
    (night,) = list_nights(memory.database)
    assert night.result is not None
    assert night.result.verdict == "stopped"
    assert now(memory, shelf) is None
    assert consolidate(job(memory, shelf)).verdict == "published"


def test_killed_at_random_moments_the_champion_stays_and_the_next_night_succeeds(
    tmp_path: Path,
) -> None:
    rng = random.Random(0)
    with open_at(tmp_path) as memory, nights_to_kill(memory.path) as kill_after:
        shelf = day(memory)
        began = time.monotonic()
        consolidate(job(memory, shelf))
        whole = time.monotonic() - began  # on a busy machine nights take longer
        for _ in range(int(os.environ.get("NIGHT_KILLS", "4"))):
            kill_after(rng.uniform(0.05, 1.5 * whole))
            champion = active_prior(memory.database, shelf)
            assert champion is not None
            ActivePrior.of(champion, shelf, memory.path)  # whole, or it raises
        day(memory, 8, start=50_000)
        assert consolidate(job(memory, shelf)).verdict in ("published", "refused")
        verdicts = {night.result and night.result.verdict for night in list_nights(memory.database)}
        assert None not in verdicts  # no night seems to run still
        assert not list(priors_folder(memory.path).glob("*.tmp"))


@contextmanager
def nights_to_kill(path: Path) -> Generator[Callable[[float], None]]:
    """Give what runs nights on a memory and kills them after so many seconds."""
    command = [sys.executable, "-m", "tests.support.night_process", str(path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as process:
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None

        def kill_after(delay: float) -> None:
            stdin.write("go\n")
            stdin.flush()
            child = int(stdout.readline())
            time.sleep(delay)
            os.kill(child, signal.SIGKILL)
            assert stdout.readline() == "gone\n"

        yield kill_after
        stdin.close()


def test_in_an_application_nights_come_by_themselves_and_calls_go_on(
    memory: LatentMemory,
) -> None:
    shelf = day(memory, 60)
    reports = []
    came = threading.Event()

    def done(report):
        reports.append(report)
        came.set()

    with ConsolidationScheduler(job(memory, shelf), every=100, look=1, done=done):
        time.sleep(1.5)
        assert not reports
        day(memory, 60, start=60)  # goes on while a night may run
        assert came.wait(30)
    assert reports[0].verdict == "published"
    with pytest.raises(SettingError, match="every must be at least 1"):
        ConsolidationScheduler(job(memory, shelf), every=0)


# ---------------------------------------------------------------- rewards, anchors, schedules


@pytest.mark.parametrize(
    "reward",
    [
        SelfReward("checks", strict=True),
        SelfReward("grades", weights={"correct": 2.0}),
        FormatReward("x+"),
        WeightedSum((SelfReward(), 2.0), (FormatReward("b"), 1.0)),
        CallableReward(right),
    ],
    ids=lambda reward: type(reward).__name__,
)
def test_a_reward_is_built_again_from_its_id(reward) -> None:
    assert reward_from_id(reward.id).id == reward.id


@pytest.mark.parametrize(
    "name",
    [ExactMatch("1").id, CallableReward(lambda q, a: 0.0).id, "SelfReward {", "os:getcwd",
     "nowhere:judge", "SelfReward {}", "json:", 'Foo {"a": 1}', ""],
)  # fmt: skip
def test_a_reward_that_cannot_be_built_again_is_said(name: str) -> None:
    with pytest.raises(RewardError, match=r"--reward module:attribute"):
        reward_from_id(name)


def test_anchors_are_read_and_bad_lines_named(tmp_path: Path) -> None:
    path = tmp_path / "truth.jsonl"
    path.write_text('{"question": "1 + 1?", "answer": 2}\n\n')
    assert read_anchors(path) == [Anchor(question="1 + 1?", answer="2")]
    for bad in ("no json", '{"question": "q"}', "[]"):
        path.write_text('{"question": "q", "answer": "a"}\n' + bad)
        with pytest.raises(SettingError, match="in line 2"):
            read_anchors(path)
    with pytest.raises(SettingError, match="must be in a text file"):
        read_anchors(tmp_path / "missing.jsonl")


@pytest.mark.parametrize(
    ("expression", "field"),
    [
        ("60 3 * * *", "minute"),
        ("0 24 * * *", "hour"),
        ("0 3 32 * *", "day of month"),
        ("0 3 * foo *", "month"),
        ("0 3 * * 8", "day of week"),
        ("0 3 * * MON#1", "day of week"),  # what other crons know must not be half read
        ("0 3 * * 1#1", "day of week"),
        ("0 3 * * 5L", "day of week"),
        ("0 3 * * mon5", "day of week"),
        ("0 3 * * mon-", "day of week"),
        ("0 3 * * TUE!", "day of week"),
        ("0 3 * * monday", "day of week"),
        ("0 3 * * ?", "day of week"),
        ("0 3 * * \uff15", "day of week"),
        ("0 3 * jan#2 *", "month"),
        ("0 3 * jan5 *", "month"),
        ("0 3 L * *", "day of month"),
        ("0 3 15W * *", "day of month"),
        ("0 3 lastfoo * *", "day of month"),
        ("0 3 ? * 1", "day of month"),
        ("H 3 * * *", "minute"),
        ("*/0 3 * * *", "minute"),
        ("0 3 * * */0", "day of week"),
        ("0 3 * *", "five fields"),
        ("", "five fields"),
    ],
)
def test_a_wrong_schedule_is_refused_by_field(expression: str, field: str) -> None:
    with pytest.raises(SettingError, match=field):
        cron_trigger(expression)


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("0 3 * * *", ["2026-01-05 03:00", "2026-01-06 03:00"]),
        ("0 3 * * 0", ["2026-01-11 03:00", "2026-01-18 03:00"]),
        ("0 3 * * 7", ["2026-01-11 03:00", "2026-01-18 03:00"]),
        ("30 4 * * 1-5", ["2026-01-05 04:30", "2026-01-06 04:30"]),
        ("0 0 * * sun", ["2026-01-11 00:00", "2026-01-18 00:00"]),
        ("0 0 * * MON-FRI/2", ["2026-01-07 00:00", "2026-01-09 00:00", "2026-01-12 00:00"]),
        ("0 0 * * 1/2", ["2026-01-07 00:00", "2026-01-09 00:00", "2026-01-12 00:00"]),
        ("0 0 * * fri-sun", ["2026-01-09 00:00", "2026-01-10 00:00", "2026-01-11 00:00"]),
        ("0 0 * * sun-sun", ["2026-01-11 00:00", "2026-01-18 00:00"]),
        ("0 0 * * sun-mon", ["2026-01-11 00:00", "2026-01-12 00:00"]),
        ("0 0 1 jan-apr/3 *", ["2026-04-01 00:00", "2027-01-01 00:00"]),
        ("0 0 1 Mar,may *", ["2026-03-01 00:00", "2026-05-01 00:00"]),
        ("0 3 7 * 0", ["2026-01-07 03:00", "2026-01-11 03:00"]),
    ],
)
def test_schedules_mean_what_crontab_means(expression: str, times: list[str]) -> None:
    trigger, found = cron_trigger(expression), []
    moment = datetime(2026, 1, 5, 0, 0, 1, tzinfo=UTC)  # a Monday
    for _ in times:
        moment = trigger.get_next_fire_time(None, moment)
        found.append(f"{moment:%Y-%m-%d %H:%M}")
        moment += timedelta(seconds=1)
    assert found == times


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Set TZ as it is before a process starts."""

    def set_to(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        monkeypatch.setattr("tzlocal.unix._cache_tz", None)

    return set_to


@pytest.mark.parametrize(
    "name",
    ["CET-1CEST,M3.5.0,M10.5.0/3", "EST5", "UTC0", "Nowhere/At_All", "../../etc/passwd",
     "/etc/hosts", "Europe"],
)  # fmt: skip
def test_a_time_zone_that_has_no_name_is_refused_for_a_schedule(
    zone: Callable[[str], None], name: str
) -> None:
    zone(name)
    with pytest.raises(SettingError, match=rf"time zone .*{re.escape(name)}.*; .*TZ=Europe/Paris"):
        cron_trigger("0 3 * * *")


def test_a_schedule_is_in_the_named_time_zone(zone: Callable[[str], None]) -> None:
    zone("Asia/Tokyo")
    moment = datetime(2026, 1, 5, tzinfo=UTC)
    fires = cron_trigger("0 3 * * *").get_next_fire_time(None, moment)
    assert fires == datetime(2026, 1, 5, 18, tzinfo=UTC)


def test_a_scheduler_of_calls_needs_no_time_zone(
    zone: Callable[[str], None], memory: LatentMemory
) -> None:
    shelf = day(memory, 1)
    zone("CET-1CEST,M3.5.0,M10.5.0/3")
    with ConsolidationScheduler(job(memory, shelf), every=10_000):
        pass
