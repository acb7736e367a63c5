"""Daytime: a question starts from what similar ones learned, and is never worse off for it."""

import json
import resource
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.prompts import ChatPromptTemplate

from latent_agent import ChatLatentSeek, ExactMatch, SelfReward
from latent_agent.errors import SettingError
from latent_agent.recall.warm_start import momentum_transfer
from latent_agent.teaching import questions
from latent_memory import LatentMemory, LocationError, Neighbour, Shelf, StoredTrace, Trace
from latent_memory.sqlite.waiting import BUSY_SECONDS

SEARCHED = [question for question in questions("test", n=105, seed=7) if question.planted]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "memory.sqlite3") as opened:
        yield opened


def trace_of(message: Any) -> dict[str, Any]:
    json.dumps(message.response_metadata)  # plain values only
    return message.response_metadata["latent_agent"]


def ask(memory: object, text: str, **given: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": "bundled", "memory": memory, **given}
    return trace_of(ChatLatentSeek(**arguments).invoke(text))


def needs_search(skip: int = 0) -> str:
    """The text of a question whose draft is refused and whose search succeeds."""
    place = 0
    for question in SEARCHED:
        trace = ask(None, question.text)
        if trace["stopped"] == "threshold" and trace["iterations"] > 0:
            if place == skip:
                return question.text
            place += 1
    raise AssertionError("no question of the test set needs a search")


# --------------------------------------------------------------------- momentum transfer


def neighbour(similarity: float, base: np.ndarray, optimised: np.ndarray) -> Neighbour:
    shelf = Shelf(namespace="a", fingerprint="b", reward="c")
    trace = Trace(
        shelf=shelf, query=None, answer=None, embedding=np.ones(3, np.float32),
        base=base.astype(np.float32), optimised=optimised.astype(np.float32), tokens=(1,),
        score=0.0, rewards=((0.0,),), steps=1, stopped="threshold",
    )  # fmt: skip
    stored = StoredTrace(id=1, created=datetime.now(UTC), trace=trace)
    return Neighbour(stored=stored, similarity=similarity)


def test_the_journey_is_transferred_not_the_destination() -> None:
    far = neighbour(1.0, np.full((2, 4), 100.0), np.full((2, 4), 101.0))
    moved = momentum_transfer(torch.full((2, 4), 9.0), [far], strength=0.5)
    assert torch.equal(moved, torch.full((2, 4), 9.5))


def test_weights_are_the_softmax_of_the_similarities() -> None:
    zero, one = np.zeros((1, 2)), np.ones((1, 2))
    near, far = neighbour(0.9, zero, one), neighbour(0.1, zero, -one)
    share = np.exp(0.9 / 0.2) / (np.exp(0.9 / 0.2) + np.exp(0.1 / 0.2))
    moved = momentum_transfer(torch.full((1, 2), 9.0), [near, far], temperature=0.2)
    assert moved.tolist()[0] == pytest.approx([9 + 2 * share - 1] * 2)


def test_common_positions_are_transferred_where_lengths_differ() -> None:
    short = neighbour(1.0, np.zeros((1, 2)), np.ones((1, 2)))
    long = neighbour(1.0, np.zeros((3, 2)), np.ones((3, 2)))
    base = torch.full((2, 2), 9.0)
    assert momentum_transfer(base, [short]).tolist() == [[10, 10], [9, 9]]
    assert momentum_transfer(base, [long]).tolist() == [[10, 10], [10, 10]]


def test_what_was_transferred_is_not_made_longer_again() -> None:
    searched = neighbour(1.0, np.zeros((1, 2)), np.ones((1, 2)))
    trace = replace(searched.stored.trace, steps=0)
    transferred = replace(searched, stored=replace(searched.stored, trace=trace))
    base = torch.full((1, 2), 9.0)
    assert momentum_transfer(base, [searched], strength=3.0).tolist() == [[12, 12]]
    assert momentum_transfer(base, [transferred], strength=3.0).tolist() == [[10, 10]]


def test_no_position_moves_further_than_its_own_length() -> None:
    far = neighbour(1.0, np.zeros((1, 2)), np.full((1, 2), 1000.0))
    assert momentum_transfer(torch.full((1, 2), 9.0), [far]).tolist() == [[18, 18]]


# --------------------------------------------------------------------- a call with a memory


def test_a_question_asked_again_starts_where_it_ended(memory: LatentMemory) -> None:
    text = needs_search()
    first = ask(memory, text)
    assert first["warm_start"]["neighbours"] == []
    assert first["trace_id"] is not None
    again = ask(memory, text)
    assert again["warm_start"]["neighbours"] == [first["trace_id"]]
    assert (again["source"], again["stopped"], again["iterations"]) == ("memory", "threshold", 0)
    assert again["draft"] is None  # it was not needed
    assert len(again["rewards"]) == 1
    assert sum(again["forwarded_tokens"].values()) < sum(first["forwarded_tokens"].values())


def test_what_is_stored_is_what_the_call_found(memory: LatentMemory) -> None:
    text = needs_search()
    message = ChatLatentSeek(model="bundled", memory=memory).invoke(text)
    trace = trace_of(message)
    stored = memory.get(trace["trace_id"])
    assert stored is not None
    kept = stored.trace
    assert (kept.query, kept.answer, kept.steps) == (text, message.text, trace["iterations"])
    assert [list(one) for one in kept.rewards] == trace["rewards"]
    assert kept.score == pytest.approx(max(trace["rewards"])[0])
    assert kept.base.shape == kept.optimised.shape
    assert 1 <= len(kept.base) <= 3  # it ends where it changes
    assert np.abs(kept.optimised - kept.base).max() > 0.01
    assert message.text.startswith(decoded(kept.tokens))


def decoded(tokens: tuple[int, ...]) -> str:
    from latent_agent.model.registry import open_model

    return open_model("bundled").engine().text(tokens)


def test_a_draft_that_passes_leaves_a_trace_that_moves_nothing(memory: LatentMemory) -> None:
    text = questions("test", n=6, seed=7)[5].text  # of a clean family
    trace = ask(memory, text)
    assert (trace["source"], trace["iterations"]) == ("draft", 0)
    stored = memory.get(trace["trace_id"])
    assert stored is not None
    assert np.abs(stored.trace.optimised - stored.trace.base).max() < 0.01
    again = ask(memory, text)
    assert (again["source"], again["iterations"]) == ("draft", 0)
    assert again["draft"] is not None


def test_no_memory_is_worse_than_no_memory_in_the_judges_eyes(memory: LatentMemory) -> None:
    """Neighbours that lead astray cost tokens, never reward."""
    astray = np.random.default_rng(0)
    chat = ChatLatentSeek(model="bundled", memory=memory, max_iterations=2)
    for question in SEARCHED[:6]:
        trace = trace_of(chat.invoke(question.text))
        if trace["trace_id"] is not None:
            stored = memory.get(trace["trace_id"])
            assert stored is not None
            noise = astray.normal(0, 3, stored.trace.base.shape).astype(np.float32)
            memory.add(replace(stored.trace, optimised=stored.trace.base + noise))
    tried = 0
    for question in SEARCHED[:6]:
        without = ask(None, question.text, max_iterations=1)
        led_astray = trace_of(chat.invoke(question.text, memory_mode="read"))
        tried += len(led_astray["rewards"]) > 1
        assert max(led_astray["rewards"]) >= without["rewards"][0]
    assert tried >= 1


def test_with_a_share_of_the_draft_the_common_positions_are_moved(memory: LatentMemory) -> None:
    text = needs_search()
    first = ask(memory, text, recipe="latentseek")
    again = ask(memory, text, recipe="latentseek")
    assert first["trace_id"] is not None
    assert again["warm_start"]["neighbours"] == [first["trace_id"]]
    assert again["draft"] is not None  # a share of the draft needs the whole draft


# --------------------------------------------------------------------- who may recall what


def test_namespaces_keep_users_apart(memory: LatentMemory) -> None:
    text = SEARCHED[0].text
    chat = ChatLatentSeek(model="bundled", memory=memory, archive=-1.0, threshold=-0.4)
    first = trace_of(chat.invoke(text, config={"configurable": {"namespace": "ann"}}))
    assert first["trace_id"] is not None
    reader = chat.bind(memory_mode="read")
    chain = ChatPromptTemplate.from_messages([("human", "{question}")]) | reader
    for config, expected in (("ann", [first["trace_id"]]), ("bob", [])):
        message = chain.invoke({"question": text}, config={"configurable": {"namespace": config}})
        assert trace_of(message)["warm_start"]["neighbours"] == expected
    streamed = list(chat.stream(text, config={"configurable": {"namespace": "ann"}}))
    assert trace_of(streamed[-1])["warm_start"]["neighbours"] == [first["trace_id"]]
    assert trace_of(chat.bind(namespace="eve").invoke(text))["warm_start"]["neighbours"] == []


async def test_namespaces_keep_users_apart_later_too(memory: LatentMemory) -> None:
    text = SEARCHED[0].text
    chat = ChatLatentSeek(model="bundled", memory=memory, archive=-1.0, threshold=-0.4)
    config: Any = {"configurable": {"namespace": "ann"}}
    first = trace_of(await chat.ainvoke(text, config))
    chunks = [chunk async for chunk in chat.astream(text, config)]
    assert trace_of(chunks[-1])["warm_start"]["neighbours"] == [first["trace_id"]]
    assert trace_of(await chat.ainvoke(text))["warm_start"]["neighbours"] == []


def test_latents_of_another_width_start_nothing(memory: LatentMemory, tmp_path: Path) -> None:
    text = needs_search()
    kept = memory.get(ask(memory, text)["trace_id"])
    assert kept is not None
    narrow = replace(kept.trace, base=kept.trace.base[:, :8], optimised=kept.trace.base[:, :8])
    with LatentMemory(tmp_path / "narrow.sqlite3") as other:
        other.add(narrow)
        metadata = ask(other, text)
    assert metadata["draft"] == ask(None, text)["draft"]
    assert metadata["warm_start"]["neighbours"] == []
    assert "latents of one shelf must have one width, 8 on this one" in metadata["memory_error"]


def test_another_reward_or_model_recalls_nothing(memory: LatentMemory, tmp_path: Path) -> None:
    text = SEARCHED[0].text
    kept: dict[str, Any] = {"archive": -1.0, "threshold": -0.4}
    assert ask(memory, text, **kept)["trace_id"] is not None
    lenient = ask(memory, text, reward=SelfReward(), memory_mode="read", **kept)
    assert lenient["warm_start"]["neighbours"] == []
    truth = ask(memory, text, reward=ExactMatch(SEARCHED[0].truth), memory_mode="read", **kept)
    assert truth["warm_start"]["neighbours"] == []
    other = changed_model(tmp_path / "other")
    changed = ask(memory, text, model=other, memory_mode="read", **kept)
    assert changed["warm_start"]["neighbours"] == []


def changed_model(folder: Path) -> str:
    """A copy of the bundled model with one weight moved."""
    import shutil

    from safetensors.torch import load_file, save_file

    from latent_agent.teaching import model_path

    shutil.copytree(model_path(), folder)
    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 0.25
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


def test_modes(memory: LatentMemory) -> None:
    text = SEARCHED[0].text
    kept: dict[str, Any] = {"archive": -1.0, "threshold": -0.4}
    first = ask(memory, text, memory_mode="write", **kept)
    second = ask(memory, text, memory_mode="write", **kept)
    assert second["warm_start"]["neighbours"] == []
    assert second["trace_id"] > first["trace_id"]
    read = ask(memory, text, memory_mode="read", **kept)
    assert read["trace_id"] is None
    assert sorted(read["warm_start"]["neighbours"]) == [first["trace_id"], second["trace_id"]]


def test_any_embeddings_may_find_the_neighbours(memory: LatentMemory) -> None:
    text = SEARCHED[0].text
    given: dict[str, Any] = {
        "embeddings": DeterministicFakeEmbedding(size=12),
        "archive": -1.0,
        "threshold": -0.4,
    }
    first = ask(memory, text, **given)
    stored = memory.get(first["trace_id"])
    assert stored is not None
    assert stored.trace.embedding.shape == (12,)
    assert ask(memory, text, **given)["warm_start"]["neighbours"] == [first["trace_id"]]
    own = ask(memory, text, archive=-1.0, threshold=-0.4)
    assert own["warm_start"]["neighbours"] == []


# --------------------------------------------------------------------- where it is kept


def test_by_default_it_is_kept_in_the_users_data_folder(home: Path) -> None:
    chat = ChatLatentSeek(model="bundled", archive=-1.0, threshold=-0.4)
    assert trace_of(chat.invoke(SEARCHED[0].text))["trace_id"] is not None
    assert [path.name for path in home.rglob("*.sqlite3")] == ["memory.sqlite3"]


def test_a_default_place_that_cannot_be_written_is_warned_of(home: Path) -> None:
    data = home / ".local" / "share"
    data.parent.mkdir(parents=True)
    data.write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match=r"nothing is remembered.*got"):
        trace = trace_of(ChatLatentSeek(model="bundled").invoke(SEARCHED[0].text))
    assert trace["trace_id"] is None


def test_a_place_that_was_named_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    for place in (tmp_path / "file" / "memory.sqlite3", "mysql://host/db", tmp_path):
        with pytest.raises(LocationError, match="got"):
            ask(place, SEARCHED[0].text)
    with pytest.raises(SettingError, match=r"memory must be .*got 3;"):
        ask(3, SEARCHED[0].text)


def test_a_call_waits_for_other_writers_no_longer_than_its_timeout(memory: LatentMemory) -> None:
    kept: dict[str, Any] = {"archive": -1.0, "threshold": -0.4}
    ask(memory, SEARCHED[0].text, **kept)
    with closing(sqlite3.connect(memory.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # and would never end
        for timeout in (1.0, 4.0, 16.0):  # on a busy machine the shortest ends before the search
            began = time.monotonic()
            trace = ask(memory, SEARCHED[1].text, timeout=timeout, **kept)
            seconds = time.monotonic() - began
            assert trace["trace_id"] is None
            if trace["memory_error"] is not None:
                break
        other.execute("ROLLBACK")
    assert "another process kept its lock" in (trace["memory_error"] or "")
    assert seconds < BUSY_SECONDS, "it waited as long as calls without a timeout do"
    assert ask(memory, SEARCHED[1].text, timeout=60.0, **kept)["trace_id"] is not None


def test_a_full_disk_costs_no_answer(memory: LatentMemory) -> None:
    kept: dict[str, Any] = {"archive": -1.0, "threshold": -0.4}
    first = ask(memory, SEARCHED[0].text, **kept)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, limits[1]))  # no file grows past this
        full = ask(memory, SEARCHED[1].text, **kept)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert full["trace_id"] is None
    assert full["memory_error"]
    assert full["warm_start"]["neighbours"] == [first["trace_id"]]
    after = ask(memory, SEARCHED[1].text, **kept)
    assert after["trace_id"] is not None
    assert memory.verify() == []


def test_a_budget_spent_while_recalling_still_answers(memory: LatentMemory) -> None:
    text = SEARCHED[0].text
    kept: dict[str, Any] = {"archive": -1.0, "threshold": -0.4}
    ask(memory, text, **kept)
    for tokens in (1, 40, 44, 60, 90, 150):
        trace = ask(memory, text, max_forwarded_tokens=tokens, **kept)
        assert trace["stopped"] in ("tokens", "threshold")
        assert sum(trace["forwarded_tokens"].values()) <= tokens
