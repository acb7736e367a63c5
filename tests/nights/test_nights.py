"""Nights: what wins is published, what does not is not, and a kill leaves the champion active."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from latent_agent.call.stored_call import StoredCall
from latent_agent.errors import (
    PriorError,
)
from latent_agent.model.conversation import Turn
from latent_agent.nights.gate import chance
from latent_agent.nights.job import Watch, plan
from latent_agent.nights.night import consolidate
from latent_agent.nights.regression_set import Anchor
from latent_agent.nights.replay import pick_questions
from latent_agent.reward import CallableReward
from latent_memory import LatentMemory, Shelf, StoredTrace, TraceError
from latent_memory.priors.nights import begin_night, count_new, list_nights
from latent_memory.priors.priors import UnknownPriorError, active_prior, list_priors, source_of
from latent_memory.priors.publishing import (
    publish,
    reserve,
)
from latent_memory.sqlite import priors_folder
from tests.support.night_world import (
    SEARCH,
    SETTINGS,
    agent,
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
    usable_prior,
    wrong_trace_for,
    yes,
)


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
    prior = usable_prior(memory, shelf)
    assert prior is not None
    assert (prior.version, prior.network.shape.positions) == ("1", 2)


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
            path = priors_folder(memory.path) / "1.safetensors"
            checksums.append(path.read_bytes())
    assert checksums[0] == checksums[1]


def test_shelves_do_not_mix_unless_it_is_said_by_name(memory: LatentMemory) -> None:
    ann, ben = day(memory, namespace="ann"), day(memory, 40, start=500, namespace="ben")
    report = consolidate(job(memory, ann))
    assert (now(memory, ann), now(memory, ben)) == (report.version, None)
    assert usable_prior(memory, ben) is None
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


def test_with_nothing_left_to_save_the_champion_stays(published: LatentMemory) -> None:
    memory, shelf = published, shelf_of(CallableReward(right))
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
    unknown = model().engine().vocabulary
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


def test_one_kind_of_question_alone_is_enough(memory: LatentMemory) -> None:
    shelf = shelf_of(CallableReward(right))
    memory.add_many([trace_for(f"Item {n} is red.", shelf) for n in range(160)])
    assert consolidate(job(memory, shelf)).verdict == "published"
