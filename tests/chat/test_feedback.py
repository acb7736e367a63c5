"""Feedback by message and by id; a correction is read, and changes the next answer's start."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import torch
from langchain_core.messages import AIMessage

from latent_agent import ChatLatentSeek, FeedbackReward, OutcomeReward
from latent_agent.chat.retriever import TraceRetriever
from latent_agent.errors import RewardError
from latent_agent.model.sampling import Sampler
from latent_agent.nights.job import NightSettings, load
from latent_agent.nights.targets import job_for
from latent_agent.recall.prior_checkpoint import PriorCard, save_prior
from latent_agent.recall.prior_network import LatentPrior, PriorShape
from latent_agent.teaching import is_right, model_path, questions
from latent_memory import (
    FEEDBACK,
    UNRATED,
    Feedback,
    FeedbackError,
    LatentMemory,
    ReadOnlyError,
    Shelf,
    StoredTrace,
)
from latent_memory.priors.nights import begin_night
from latent_memory.priors.priors import source_of
from latent_memory.priors.publishing import note_file, publish, reserve
from latent_memory.sqlite import Folder, priors_folder
from tests.support.tool_templates import tool_tokenizer

SCHEMA = {"title": "day", "type": "object", "properties": {"day": {"enum": ["Monday", "Sunday"]}}}


def ours(message: AIMessage) -> dict[str, Any]:
    return message.response_metadata["latent_agent"]


def stored(chat: ChatLatentSeek, message: AIMessage) -> StoredTrace:
    found = chat.memory.get(ours(message)["answer_id"])
    assert found is not None
    return found


@pytest.fixture
def chat(tmp_path: Path):
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        yield ChatLatentSeek(model="bundled", memory=memory, reward=FeedbackReward())


def publish_untrained(memory: LatentMemory, shelf: Shelf) -> int:
    """Make a prior that moves nothing active on a shelf."""
    database, (info,) = memory.database, [i for i in memory.shelves() if i.shelf == shelf]
    source = source_of(database, shelf)
    assert source is not None
    night = begin_night(database, shelf, seed=0, inputs={})
    version = reserve(database, [source], night=night, positions=3)
    shape = PriorShape(positions=3, width=info.width, embedding=info.dimension)
    card = PriorCard(
        version=str(version), namespace=shelf.namespace, fingerprint=shelf.fingerprint,
        reward=shelf.reward, first_trace=source.first, last_trace=source.last, shape=shape,
    )  # fmt: skip
    path = priors_folder(memory.path) / f"{version}.safetensors"
    note_file(
        database,
        version,
        path.name,
        save_prior(LatentPrior(shape, 5), card, Folder(path.parent), path.name).checksum,
    )
    publish(database, version)
    return version


def test_a_corrected_answer_is_right_when_it_is_asked_again(chat: ChatLatentSeek) -> None:
    asked = (q for q in questions(split="train", n=40, seed=0) if q.planted)
    question, message = next(
        (q, m) for q in asked if not is_right(q, (m := chat.invoke(q.text)).text)
    )
    rating = chat.feedback(message, correction=str(question.right))
    assert (rating.reward, rating.pending) == (-1.0, False)
    (shelf,) = [info.shelf for info in chat.memory.shelves() if info.shelf.reward == FEEDBACK]
    (copy,) = chat.memory.stream(shelf)
    engine = chat.held_models.open("bundled", None, chat.load_options).engine()
    latents = torch.from_numpy(copy.trace.optimised)
    assert tuple(engine.decode(latents, Sampler(0.0))) == copy.trace.tokens
    assert str(question.right).startswith(engine.text(copy.trace.tokens).strip())
    assert is_right(question, chat.invoke(question.text).text)
    assert replace(shelf, reward=UNRATED) in [info.shelf for info in chat.memory.shelves()]


def test_an_answer_that_was_rated_down_is_no_start(chat: ChatLatentSeek) -> None:
    message = chat.invoke("Hello")
    assert ours(message)["trace_id"] is None
    chat.feedback(ours(message)["answer_id"], 0.0)
    again = chat.invoke("Hello").response_metadata["latent_agent"]
    assert again["warm_start"]["neighbours"] == []
    chat.feedback(message, 1.0)
    again = chat.invoke("Hello").response_metadata["latent_agent"]
    assert len(again["warm_start"]["neighbours"]) == 1


async def test_feedback_off_the_event_loop(chat: ChatLatentSeek) -> None:
    message = await chat.ainvoke("Hello")
    assert (await chat.afeedback(message, 0.5, source="test")).reward == -0.5


@pytest.mark.parametrize("answer", [AIMessage("another model's"), "a text", True, 99])
def test_feedback_on_no_answer_of_ours_is_refused(chat: ChatLatentSeek, answer: object) -> None:
    with pytest.raises(FeedbackError):
        chat.feedback(answer, 1.0)  # pyright: ignore[reportArgumentType]


def test_feedback_says_something(chat: ChatLatentSeek) -> None:
    with pytest.raises(FeedbackError, match="neither"):
        chat.feedback(1)


@pytest.mark.parametrize(
    "how",
    [{"max_iterations": 0}, {"response_format": {"type": "json_object"}}, {"reward": 5}],
    ids=["plain", "held", "failing"],
)
def test_answers_that_nobody_judged_can_be_rated(chat: ChatLatentSeek, how: Any) -> None:
    if "reward" in how:
        how = {"reward": lambda question, answer: 1 / 0}
    message = chat.invoke("Hello", max_tokens=40, **how)
    assert ours(message)["trace_id"] is None
    trace = stored(chat, message).trace
    assert (trace.shelf.reward, trace.answer) == (UNRATED, message.text)
    assert trace.stopped == ("threshold" if "response_format" in how else "unjudged")
    chat.feedback(message, 1.0)
    free = chat.invoke("Hello")
    started = ours(free)["warm_start"]["neighbours"]
    assert len(started) == (0 if "response_format" in how else 1)


def test_plain_answers_are_the_same_with_a_memory(chat: ChatLatentSeek) -> None:
    texts = [question.text for question in questions(split="train", n=5, seed=1)]
    plain = chat.model_copy(update={"memory": None})
    for text in texts:
        assert chat.invoke(text, max_iterations=0).text == plain.invoke(text, max_iterations=0).text


def test_a_memory_that_is_only_read_keeps_nothing_to_rate(chat: ChatLatentSeek) -> None:
    message = chat.invoke("Hello", max_iterations=0)
    reading = chat.model_copy(update={"memory": str(chat.memory.path), "memory_mode": "read"})
    assert ours(reading.invoke("Hello", max_iterations=0))["answer_id"] is None
    with pytest.raises(ReadOnlyError):
        reading.feedback(message, 1.0)


def test_what_only_feedback_judges_is_no_start_before_it_comes_with_tools_neither(
    tmp_path: Path,
) -> None:
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        chat = ChatLatentSeek(
            model=str(model_path()),
            tokenizer=tool_tokenizer("hermes"),
            memory=memory,
            reward=FeedbackReward(),
            max_tokens=30,
        ).bind_tools([add])
        first = chat.invoke("Hello")
        assert ours(first)["trace_id"] is None
        assert stored(chat.bound, first).trace.shelf.reward == UNRATED  # type: ignore[attr-defined]
        assert ours(chat.invoke("Hello"))["warm_start"]["neighbours"] == []


def test_a_run_names_its_answer(chat: ChatLatentSeek) -> None:
    run = uuid4()
    message = chat.invoke("Hello", config={"run_id": run})
    for name in (run, str(run), str(message.id)):
        assert chat.feedback(name, 1.0).trace == ours(message)["answer_id"]
    for other in (uuid4(), "no run"):
        with pytest.raises(FeedbackError):
            chat.feedback(other, 1.0)


async def test_a_streamed_run_names_its_answer(chat: ChatLatentSeek) -> None:
    run = uuid4()
    chunks = [chunk async for chunk in chat.astream("Hello", config={"run_id": run})]
    answer = next(ours(chunk)["answer_id"] for chunk in chunks if chunk.response_metadata)
    assert chat.feedback(run, 1.0).trace == answer


def test_another_namespaces_message_is_an_unknown_one(chat: ChatLatentSeek) -> None:
    config: Any = {"configurable": {"namespace": "ann"}}
    message = chat.invoke("Hello", config=config)
    with pytest.raises(FeedbackError):
        chat.feedback(message, 1.0)
    assert chat.feedback(message, 1.0, namespace="ann").reward == 0.0


def test_a_correction_that_was_stored_without_a_model_is_read_at_the_next_call(
    chat: ChatLatentSeek,
) -> None:
    message = chat.invoke("Hello")
    given = Feedback(score=0.0, correction="It is Monday.")
    assert chat.memory.rate(ours(message)["answer_id"], given, namespace="default").pending
    chat.invoke("Hello", timeout=60)  # what it has it needs for its answer
    assert chat.memory.has_unread("default")
    again = chat.invoke("Hello")
    assert not chat.memory.has_unread("default")
    assert len(ours(again)["warm_start"]["neighbours"]) == 1
    assert again.text.startswith("It is")


def test_another_models_answer_is_not_read_by_this_one(chat: ChatLatentSeek) -> None:
    message = chat.invoke("Hello")
    other = chat.model_copy(
        update={"tokenizer": tool_tokenizer("hermes"), "model": str(model_path())}
    )
    other.invoke("Hello")  # it is loaded
    assert other.feedback(message, correction="It is Monday.").pending


def test_a_correction_of_what_is_not_stored_is_kept_as_text(chat: ChatLatentSeek) -> None:
    brief = chat.model_copy(update={"store_conversations": False})
    message = brief.invoke([("system", "marmalade"), ("human", "Hello")])
    trace = stored(chat, message).trace
    assert (trace.query, trace.conversation) == ("Hello", "")
    assert not brief.feedback(message, correction="It is Monday.").pending
    (piece,) = chat.memory.feedback(ours(message)["answer_id"])
    assert piece.feedback.correction == "It is Monday."


def test_an_answer_waits_for_its_outcome_until_the_deadline(chat: ChatLatentSeek) -> None:
    waiting = chat.model_copy(update={"reward": OutcomeReward(0.2)})
    late, chat.reward = waiting.invoke("Hello"), OutcomeReward(timedelta(hours=1))
    in_time = chat.invoke("Hello, Tom")
    while ours(late)["answer_id"] in [info.id for info in chat.memory.list()]:
        chat.memory.tidy()
    with pytest.raises(FeedbackError):
        chat.feedback(late, 1.0, source="test")
    assert chat.feedback(in_time, 1.0, source="test").reward == 0.0


@pytest.mark.parametrize("deadline", [0, -1.0, float("nan"), True, "an hour", timedelta(0), 1e12])
def test_a_deadline_lies_ahead(deadline: Any) -> None:
    with pytest.raises(RewardError, match="timedelta"):
        OutcomeReward(deadline)


def test_a_night_learns_no_answer_that_was_rated_wrong(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        chat = ChatLatentSeek(model="bundled", memory=memory)
        messages = chat.batch([q.text for q in questions(split="train", n=30, seed=2)])
        ids = [ours(one)["trace_id"] for one in messages if ours(one)["trace_id"]]
        job = replace(job_for(chat), settings=NightSettings(least=1))
        assert {one.id for one in load(job).stream()} == set(ids)
        chat.feedback(ids[0], 0.0)
        chat.feedback(ids[1], 1.0)
        assert {one.id for one in load(job).stream()} == set(ids) - {ids[0]}


def test_a_retriever_gives_no_answer_that_was_rated_wrong_or_waits(chat: ChatLatentSeek) -> None:
    retriever = TraceRetriever(model="bundled", memory=chat.memory)
    for text, score in (("Hello", 1.0), ("Hello, Tom", 0.0), ("Hello, Ann", None)):
        message = chat.invoke(text)
        if score is not None:
            chat.feedback(message, score)
    assert [found.metadata["reward"] for found in retriever.invoke("Hello")] == [0.0]
    assert [found.page_content.split("\n")[0] for found in retriever.invoke("Hello")] == ["Hello"]


def test_a_pinned_prior_may_be_the_one_of_rated_traces(chat: ChatLatentSeek) -> None:
    message = chat.invoke("Hello")
    chat.feedback(message, 1.0)
    shelf = replace(stored(chat, message).trace.shelf, reward=FEEDBACK)
    version = publish_untrained(chat.memory, shelf)
    pinned = chat.model_copy(update={"prior": version}).invoke("Hello, Tom")
    assert ours(pinned)["warm_start"]["prior"] == str(version)
