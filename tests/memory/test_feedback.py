"""Feedback on traces: the rule, the copy on the shelf of feedback, erasure, many at once."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from latent_memory import (
    FEEDBACK,
    UNRATED,
    Awaited,
    Feedback,
    FeedbackError,
    LatentMemory,
    Limits,
    RatingsOfDay,
    ReadOnlyError,
)
from latent_memory.feedback.rating import correct, read_copies
from latent_memory.feedback.rows import unread_corrections
from latent_memory.overview import overview
from tests.support.memories import SHELF, age, contents, held, in_namespace, recalled, trace, vector
from tests.support.servers import Place

HERE = SHELF.namespace
RATED = replace(SHELF, reward=FEEDBACK)
WAITING = replace(SHELF, reward=UNRATED)
WRONG, RIGHT = Feedback(score=0.0), Feedback(score=1.0)
CORRECTED = Feedback(score=0.0, correction="marmalade")


@pytest.fixture
def memory(place: Place):
    with LatentMemory(place("memory.sqlite3")) as memory:
        yield memory


def rated(memory: LatentMemory) -> list[float]:
    return [stored.trace.score for stored in memory.stream(RATED)]


def read_correction(memory: LatentMemory) -> bool:
    """What a model does with the one correction that waits, in a form that is known again."""
    with memory.database.read() as connection:
        (waiting,) = unread_corrections(connection, HERE, 10)
    (copy,) = read_copies(memory.database, [waiting])
    base = copy.trace.base[:2]
    return correct(memory.database, waiting, copy, base, base + 1, (7, 8))


def tokens(memory: LatentMemory) -> list[tuple[int, ...]]:
    return [stored.trace.tokens for stored in memory.stream(RATED)]


def test_a_rated_trace_lies_on_both_shelves(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    assert memory.rate(id_, Feedback(score=0.75), namespace=HERE).reward == -0.25
    assert rated(memory) == [-0.25]
    assert memory.get(id_) is not None
    assert memory.verify() == []


def test_users_decide_before_tests_and_the_newest_of_a_source(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    said = [(0.2, "judge"), (0.4, "test"), (0.6, "user"), (1.0, "user"), (0.0, "test")]
    rewards = [
        memory.rate(id_, Feedback(score=score, source=source), namespace=HERE).reward
        for score, source in said
    ]
    assert rewards == pytest.approx([-0.8, -0.6, -0.4, 0.0, 0.0])
    assert [(one.feedback.score, one.feedback.source) for one in memory.feedback(id_)] == said
    assert rated(memory) == [0.0]


@pytest.mark.parametrize(
    "given",
    [
        Feedback(score=-0.1),
        Feedback(score=1.1),
        Feedback(score=math.nan),
        Feedback(score=1.0, source="nobody"),
        Feedback(score=0.0, correction=" "),
        Feedback(score=0.0, correction="x" * 70_000),
        Feedback(score=0.0, comment="\ud800"),
    ],
)
def test_what_is_no_feedback_is_refused(memory: LatentMemory, given: Feedback) -> None:
    id_ = memory.add(trace(1))
    with pytest.raises(FeedbackError):
        memory.rate(id_, given, namespace=HERE)
    assert memory.feedback(id_) == []


def test_a_correction_must_differ_from_the_answer(memory: LatentMemory) -> None:
    id_ = memory.add(replace(trace(1), answer="It is so."))
    with pytest.raises(FeedbackError, match="rate it up"):
        memory.rate(id_, Feedback(score=0.0, correction=" It is so. "), namespace=HERE)


def test_another_namespaces_id_is_an_unknown_one(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    with pytest.raises(FeedbackError) as theirs:
        memory.rate(id_, Feedback(score=1.0), namespace="other")
    with pytest.raises(FeedbackError) as unknown:
        memory.rate(id_ + 1, Feedback(score=1.0), namespace="other")
    assert str(theirs.value).replace(str(id_), "") == str(unknown.value).replace(str(id_ + 1), "")


def test_a_memory_open_for_reading_takes_none(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    with (
        LatentMemory(memory.database.location, mode="read") as reading,
        pytest.raises(ReadOnlyError),
    ):
        reading.rate(id_, Feedback(score=1.0), namespace=HERE)


def test_forgetting_takes_comments_and_copies_along(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    said = Feedback(score=0.0, comment="marmalade-comment", correction="marmalade-correction")
    memory.rate(id_, said, namespace=HERE)
    assert memory.forget(ids=[id_]) == 1
    assert rated(memory) == []
    assert memory.feedback(id_) == []
    with pytest.raises(FeedbackError):
        memory.rate(id_, said, namespace=HERE)
    assert b"marmalade" not in contents(memory)


def test_eight_threads_lose_nothing(memory: LatentMemory) -> None:
    ids = memory.add_many(trace(seed) for seed in range(4))
    with ThreadPoolExecutor(8) as threads:
        list(
            threads.map(
                lambda at: memory.rate(ids[at % 4], Feedback(score=1.0), namespace=HERE), range(80)
            )
        )
    assert [len(memory.feedback(id_)) for id_ in ids] == [20] * 4
    assert rated(memory) == [0.0] * 4
    assert memory.verify() == []
    assert len(recalled(memory, vector(1), shelf=RATED)) == 4


def test_a_correction_stays_until_its_answer_is_rated_right(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    assert memory.rate(id_, CORRECTED, namespace=HERE).pending
    assert memory.has_unread(HERE)
    assert not memory.has_unread("other")
    assert read_correction(memory)
    for again in (WRONG, Feedback(score=0.3, source="test"), Feedback(score=1.0, source="judge")):
        rating = memory.rate(id_, again, namespace=HERE)
        assert (rating.reward, rating.pending, tokens(memory)) == (-1.0, False, [(7, 8)])
    assert rated(memory) == [0.0]  # the copy is the correction's: it is a start
    memory.rate(id_, RIGHT, namespace=HERE)
    assert tokens(memory) == [trace(1).tokens]
    assert memory.rate(id_, WRONG, namespace=HERE).pending
    assert rated(memory) == [-1.0]
    assert memory.verify() == []


def test_a_correction_that_other_feedback_replaced_meanwhile_is_not_read_into_it(
    memory: LatentMemory,
) -> None:
    id_ = memory.add(trace(1))
    memory.rate(id_, CORRECTED, namespace=HERE)
    with memory.database.read() as connection:
        (waiting,) = unread_corrections(connection, HERE, 10)
    (copy,) = read_copies(memory.database, [waiting])
    memory.rate(id_, replace(CORRECTED, correction="another"), namespace=HERE)
    base = copy.trace.base
    assert not correct(memory.database, waiting, copy, base, base + 1, (7, 8, 9, 9))
    assert tokens(memory) == [trace(1).tokens]
    assert memory.has_unread(HERE)


def test_the_same_rating_again_writes_no_other_copy(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    first, second = (memory.rate(id_, RIGHT, namespace=HERE).copy for _ in range(2))
    assert first == second
    assert len(memory.feedback(id_)) == 2


def test_a_copy_is_rated_as_its_trace(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    copy = memory.rate(id_, WRONG, namespace=HERE).copy
    assert memory.rate(copy, RIGHT, namespace=HERE).trace == id_
    assert [one.feedback.score for one in memory.feedback(id_)] == [0.0, 1.0]


def test_a_copy_grows_old_with_its_trace(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    age(memory, [id_], days=30)
    memory.rate(id_, RIGHT, namespace=HERE)
    memory.set_limits(Limits(max_age=timedelta(days=20)))
    assert recalled(memory, vector(1), shelf=RATED) == []


def test_where_no_text_is_stored_none_is_of_feedback_either(place: Place) -> None:
    with LatentMemory(place("m.sqlite3"), store_text=False) as memory:
        id_ = memory.add(trace(1))
        said = replace(CORRECTED, comment="marmalade")
        assert not memory.rate(id_, said, namespace=HERE).pending
        assert [one.feedback for one in memory.feedback(id_)] == [WRONG]


def test_a_rated_trace_is_listed_once_with_its_rating(memory: LatentMemory) -> None:
    first, second = memory.add_many([trace(1), trace(2, shelf=WAITING)])
    memory.rate(first, WRONG, namespace=HERE)
    assert [(info.id, info.rating) for info in memory.list()] == [(second, None), (first, -1.0)]
    assert overview(memory.database).traces == 1
    memory.rate(second, RIGHT, namespace=HERE)
    assert overview(memory.database).traces == 2


def test_ratings_are_counted_by_answer_and_by_day(memory: LatentMemory) -> None:
    ids = memory.add_many([trace(1), trace(2), trace(3, shelf=in_namespace("other"))])
    for id_, given, whose in (
        (ids[0], WRONG, HERE),
        (ids[0], RIGHT, HERE),
        (ids[1], CORRECTED, HERE),
        (ids[2], WRONG, "other"),
    ):
        memory.rate(id_, given, namespace=whose)
    today = datetime.now(UTC).date()
    ours, every = memory.count_ratings(HERE), memory.count_ratings()
    assert (ours.up, ours.down, ours.waiting) == (1, 1, 1)
    assert ours.days == [RatingsOfDay(day=today, up=1, down=2)]
    assert (every.up, every.down, every.days[0].down) == (1, 2, 3)
    memory.forget(namespace=HERE)
    assert memory.count_ratings().down == 1


def test_a_run_names_the_answers_of_its_own_namespace(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1), awaited=Awaited(run="a-run"))
    assert memory.rate("a-run", RIGHT, namespace=HERE).trace == id_
    for whose, run in (("other", "a-run"), (HERE, "another")):
        with pytest.raises(FeedbackError, match="that namespace"):
            memory.rate(run, RIGHT, namespace=whose)
    memory.forget(ids=[id_])
    with pytest.raises(FeedbackError):
        memory.rate("a-run", RIGHT, namespace=HERE)


def test_an_answer_whose_outcome_never_came_is_dropped(memory: LatentMemory) -> None:
    def pass_by(id_: int) -> None:
        with memory.database.write() as connection:
            connection.execute(text(f"UPDATE answers SET until = 1 WHERE trace = {id_}"))

    soon = Awaited(until=datetime.now(UTC) + timedelta(hours=1))
    known, overdue, waits = (memory.add(trace(n, shelf=WAITING), awaited=soon) for n in range(3))
    memory.rate(known, Feedback(score=1.0, source="test"), namespace=HERE)
    with memory.database.read() as connection:
        left = connection.scalar(text(f"SELECT until FROM answers WHERE trace = {known}"))
    assert left is None
    pass_by(overdue)
    with pytest.raises(FeedbackError):
        memory.rate(overdue, RIGHT, namespace=HERE)
    assert memory.tidy(dry_run=True).evicted == 1
    newest = memory.add(trace(4))
    assert held(memory) == [known, waits, newest]
    pass_by(waits)
    memory.tidy()
    assert held(memory) == [known, newest]


def test_answers_that_wait_for_a_rating_are_evicted_first(memory: LatentMemory) -> None:
    memory.set_limits(Limits(capacity=20))
    learned = memory.add_many(trace(number) for number in range(10))
    age(memory, learned, days=300)
    waiting = memory.add_many(trace(number, shelf=WAITING) for number in range(10, 20))
    memory.rate(waiting[0], RIGHT, namespace=HERE)
    left = held(memory)
    assert len(left) < 20
    assert {*learned, waiting[0]} <= set(left)


def test_a_rated_trace_and_its_copy_are_evicted_together_or_not(memory: LatentMemory) -> None:
    """A copy that gives answers keeps the trace that it was made of."""
    ids = memory.add_many(trace(number) for number in range(10))
    copy = memory.rate(ids[0], RIGHT, namespace=HERE).copy
    age(memory, [*ids, copy], days=30)
    memory.add_many(trace(number, neighbours=(copy,)) for number in range(10, 15))
    memory.set_limits(Limits(capacity=8))
    memory.tidy()
    assert ids[0] in held(memory)
    assert [stored.id for stored in memory.stream(RATED)] == [copy]
    assert memory.verify() == []


def test_ratings_alone_fill_no_memory_beyond_its_capacity(memory: LatentMemory) -> None:
    memory.set_limits(Limits(capacity=20))
    for id_ in memory.add_many(trace(number) for number in range(20)):
        if id_ in held(memory):
            memory.rate(id_, RIGHT, namespace=HERE)
    assert memory.stats().traces <= 20
    assert memory.verify() == []


def test_a_rating_without_its_trace_is_found(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    memory.rate(id_, RIGHT, namespace=HERE)
    with memory.database.write() as connection:
        connection.execute(text("UPDATE ratings SET rated = 99"))
        connection.execute(text("UPDATE feedback SET trace = 98"))
    assert ["rating" in found.text or "feedback" in found.text for found in memory.verify()] == [
        True,
        True,
    ]


def test_compacting_leaves_nothing_of_what_was_said(memory: LatentMemory) -> None:
    id_ = memory.add(trace(1))
    memory.rate(id_, CORRECTED, namespace=HERE)
    memory.forget(ids=[id_])
    memory.compact()
    with memory.database.read() as connection:
        for table in ("feedback", "ratings", "answers"):
            assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0
