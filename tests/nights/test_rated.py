"""What nights make of feedback: rated questions to judge by, corrections read."""

from dataclasses import replace

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.call.answer_format import FREE_TEXT
from latent_agent.call.stored_call import call_text
from latent_agent.model.conversation import Turn, transcript
from latent_agent.model.registry import open_model
from latent_agent.nights.rated import rated_answers, read_corrections
from latent_agent.nights.targets import job_for
from latent_agent.reward import Case
from latent_memory import FEEDBACK, Feedback, LatentMemory
from tests.support.memories import SHELF, trace
from tests.support.servers import Place


def talk(city: str) -> list[Turn]:
    return [Turn("user", city), Turn("assistant", "Yes?"), Turn("user", "And tomorrow?")]


def test_a_conversation_stands_for_its_answer_not_its_last_question(place: Place) -> None:
    shelf = replace(SHELF, reward=FEEDBACK)
    with LatentMemory(place("m.sqlite3")) as memory:
        for city, answer, score in (
            ("Oslo", "snow", 0.0),
            ("Rome", "sun", 0.0),
            ("Rome", "fog", -1),
        ):
            asked = call_text(talk(city), FREE_TEXT)
            memory.add(
                trace(1, shelf=shelf, query="And tomorrow?", answer=answer, conversation=asked,
                      score=score, rewards=())
            )  # fmt: skip
        reward = rated_answers(memory.stream(shelf), open_model("bundled"))

    def value(city: str, answer: str) -> float:
        case = Case(question="And tomorrow?", answer=answer, conversation=transcript(talk(city)))
        return reward.score(case).value

    assert [value("Oslo", "snow"), value("Oslo", "sun")] == [0.0, -1.0]
    assert [value("Rome", "sun"), value("Rome", "snow"), value("Rome", "fog")] == [0.0, -1.0, -1.0]
    assert value("Bergen", "rain") == 0.0  # of which nobody said anything


def test_a_night_reads_the_corrections_that_wait(place: Place) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        chat = ChatLatentSeek(model="bundled", memory=memory, max_iterations=0)
        answer = chat.invoke("Hello").response_metadata["latent_agent"]["answer_id"]
        given = Feedback(score=0.0, correction="It is Monday.")
        copy = memory.rate(answer, given, namespace="default").copy
        job = job_for(chat, rated=True)
        assert [stored.id for stored in memory.stream(job.shelf)] == [copy]
        read_corrections(replace(job, shelf=replace(job.shelf, reward="checks")))
        assert memory.has_unread("default")
        read_corrections(job)
        assert not memory.has_unread("default")
        (read,) = memory.stream(job.shelf)
        assert (read.trace.answer, read.trace.score) == ("It is Monday.", 0.0)


def test_a_correction_that_no_model_can_read_is_given_up(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    with LatentMemory(place("m.sqlite3")) as memory:
        chat = ChatLatentSeek(model="bundled", memory=memory, max_iterations=0)
        answer = chat.invoke("Hello").response_metadata["latent_agent"]["answer_id"]
        stored = memory.get(answer)
        assert stored is not None
        damaged = memory.add(replace(stored.trace, conversation="no conversation"))
        given = Feedback(score=0.0, correction="It is Monday.")
        assert memory.rate(damaged, given, namespace="default").pending
        read_corrections(job_for(chat, rated=True))
        assert not memory.has_unread("default")
        assert "cannot be read" in caplog.text
        (piece,) = memory.feedback(damaged)
        assert piece.feedback.correction == "It is Monday."
