"""Versions of priors: rolled back, damaged, pruned, stale; calls go on with one whole version."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest
import torch
from sqlalchemy import text

import latent_migrations
from latent_agent.model.conversation import Turn
from latent_agent.nights.gate import GateSettings
from latent_agent.nights.night import consolidate
from latent_agent.recall.prior_checkpoint import load_prior, save_prior
from latent_agent.reward import CallableReward
from latent_memory import LatentMemory, Shelf
from latent_memory.priors.nights import list_nights
from latent_memory.priors.priors import UnknownPriorError, active_prior, list_priors
from latent_memory.priors.publishing import (
    note_file,
    publish,
    roll_back,
    withdraw_forgotten,
)
from latent_memory.sqlite import Folder, priors_folder
from tests.support.night_world import (
    SETTINGS,
    agent,
    day,
    job,
    open_at,
    questions,
    right,
    shelf_of,
    trace_for,
    usable_prior,
)


def now(memory: LatentMemory, shelf: Shelf) -> int | None:
    found = active_prior(memory.database, shelf)
    return None if found is None else found.version


def test_rollback_goes_back_step_by_step(published_twice: LatentMemory) -> None:
    memory, shelf = published_twice, shelf_of(CallableReward(right))
    database = memory.database
    assert now(memory, shelf) == 2
    gone, left = roll_back(database, shelf)
    assert (gone.version, left and left.version, now(memory, shelf)) == (2, 1, 1)
    assert roll_back(database, shelf)[1] is None
    with pytest.raises(UnknownPriorError, match="must be active to be rolled back"):
        roll_back(database, shelf)
    publish(database, 2)
    assert now(memory, shelf) == 2


def test_the_order_of_publications_counts_not_the_clock(published_twice: LatentMemory) -> None:
    memory, shelf = published_twice, shelf_of(CallableReward(right))
    with memory.database.write() as connection:  # the clock was an hour ahead at first
        connection.execute(text("UPDATE priors SET published_at = published_at * (3 - id)"))
    assert now(memory, shelf) == 2


def test_calls_during_publishing_are_each_made_with_one_whole_version(
    published_twice: LatentMemory,
) -> None:
    memory, shelf = published_twice, shelf_of(CallableReward(right))
    database, trace = memory.database, trace_for("Item 1 is blue.", shelf)
    base, known = torch.from_numpy(trace.base), {}
    for version in ("1", "2"):
        prior = usable_prior(memory, shelf, version)
        assert prior is not None
        known[version] = prior.correct(trace.embedding, base)
    assert not torch.equal(known["1"], known["2"])
    over, seen = threading.Event(), []

    def call() -> None:
        while not over.is_set():
            prior = usable_prior(memory, shelf)
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


@pytest.mark.slow
def test_calls_go_on_during_nights_each_answered_with_one_whole_version(
    memory: LatentMemory,
) -> None:
    shelf = day(memory, colours=("red", "blue"))
    # The calls leave traces too, as many as time lets them; the gate asks enough of the others.
    night = replace(SETTINGS, gate=GateSettings(calls=120))
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
                done = consolidate(job(memory, shelf, settings=night))
                assert done.verdict == "published", done.reason
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


def test_a_damaged_file_is_left_aside_with_a_warning(published: LatentMemory) -> None:
    memory, shelf = published, shelf_of(CallableReward(right))
    path = priors_folder(memory.path) / "1.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.warns(UserWarning, match="prior 1 is not used"):
        assert usable_prior(memory, shelf) is None
    path.write_bytes(whole)
    assert usable_prior(memory, shelf) is not None


def test_with_a_damaged_prior_a_call_answers_without_it(memory: LatentMemory) -> None:
    asked = [Turn("user", "Item 900 is red.")]
    shelf = day(memory)
    plain = agent(memory).answer(asked)
    consolidate(job(memory, shelf))
    (priors_folder(memory.path) / "1.safetensors").write_bytes(b"no prior")
    with pytest.warns(UserWarning, match="prior 1 is not used"):
        outcome = agent(memory).answer(asked)
    assert (outcome.text, outcome.prior) == (plain.text, None)


def test_a_prior_of_another_model_is_left_aside(published: LatentMemory) -> None:
    memory, shelf = published, shelf_of(CallableReward(right))
    path = priors_folder(memory.path) / "1.safetensors"
    network, card = load_prior(Folder(path.parent), path.name)
    path.unlink()
    signed = save_prior(
        network, replace(card, fingerprint="another"), Folder(path.parent), path.name
    )
    note_file(memory.database, 1, path.name, signed.checksum)
    with pytest.warns(UserWarning, match=r"of the version, checksum, model.*'another'"):
        assert usable_prior(memory, shelf) is None


def test_a_file_of_another_shelf_is_left_aside(memory: LatentMemory) -> None:
    ann, ben = day(memory, namespace="ann"), day(memory, namespace="ben")
    consolidate(job(memory, ann))
    consolidate(job(memory, ben))
    folder = priors_folder(memory.path)
    (folder / "1.safetensors").replace(folder / "2.safetensors")
    with pytest.warns(UserWarning, match="of the version, checksum, model, reward and namespace"):
        assert usable_prior(memory, ben) is None


@pytest.mark.parametrize("name", ["../out.safetensors", "/etc/passwd", "a/b.safetensors"])
def test_no_path_from_the_database_leaves_the_folder(published: LatentMemory, name: str) -> None:
    memory, shelf = published, shelf_of(CallableReward(right))
    with memory.database.write() as connection:
        connection.execute(text("UPDATE priors SET file = :name"), {"name": name})
    with pytest.warns(UserWarning, match="must lie in"):
        assert usable_prior(memory, shelf) is None


def test_old_files_are_pruned_and_strays_removed(published: LatentMemory) -> None:
    memory, shelf = published, shelf_of(CallableReward(right))
    settings = replace(SETTINGS, keep=1)
    folder = priors_folder(memory.path)
    (folder / "9.safetensors.123.tmp").write_text("half")
    for start in (300, 400, 500):
        day(memory, 8, start=start)
        consolidate(job(memory, shelf, settings=settings))
    files = {path.name for path in folder.glob("*.safetensors*")}
    newest = max(prior.version for prior in list_priors(memory.database) if prior.file)
    assert files == {"1.safetensors", f"{newest}.safetensors"}
    assert now(memory, shelf) == 1


def test_a_forgotten_trace_makes_its_priors_stale(published_twice: LatentMemory) -> None:
    memory, shelf = published_twice, shelf_of(CallableReward(right))
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


def test_strict_forgetting_withdraws_at_once(published_twice: LatentMemory) -> None:
    memory, shelf = published_twice, shelf_of(CallableReward(right))
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
            later = ("sources", "priors", "nights", "limits", "erasures", "admissions")
            for table in (*later, "feedback", "ratings", "answers"):
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
