"""Nights, priors and calls on a server: weights are rows; without a server calls still answer."""

import os
from contextlib import suppress
from pathlib import Path
from threading import Event

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from pydantic import ValidationError
from sqlalchemy import make_url

from latent_agent import ChatLatentSeek, TraceRetriever
from latent_agent.doctor.examine import examine
from latent_agent.errors import NightRunningError, NightStoppedError
from latent_agent.nights.job import Watch
from latent_agent.nights.lock import night_lock
from latent_agent.nights.night import consolidate
from latent_memory import LatentMemory, LatentMemoryError
from latent_memory.priors.nights import list_nights
from latent_memory.priors.priors import kept_names, list_priors
from latent_memory.priors.publishing import roll_back
from latent_memory.transfer.copying import copy
from tests.support.night_world import day, job, usable_prior
from tests.support.servers import Server

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


def test_a_night_publishes_and_another_host_uses_its_prior(
    memory: LatentMemory, url: str, tmp_path: Path
) -> None:
    shelf = day(memory)
    with night_lock(memory.database), pytest.raises(NightRunningError, match="runs one; wait"):
        consolidate(job(memory, shelf))
    assert consolidate(job(memory, shelf)).verdict == "published"
    with LatentMemory(url, mode="read") as other:
        found = usable_prior(other, shelf)
        assert found is not None
        assert found.version == "1"
    with LatentMemory(tmp_path / "m.sqlite3") as moved:
        assert copy(memory.database, moved.database) == 120
        mine, theirs = usable_prior(memory, shelf), usable_prior(moved, shelf)
        assert mine is not None
        assert theirs is not None
        for name, weight in mine.network.weights().items():
            assert weight.equal(theirs.network.weights()[name])
        assert [night.result for night in list_nights(moved.database)] == [
            night.result for night in list_nights(memory.database)
        ]
        assert consolidate(job(moved, shelf)).verdict == "idle"
        assert moved.verify() == []
    gone, active = roll_back(memory.database, shelf)
    assert (gone.version, active) == (1, None)


def test_a_night_that_is_stopped_goes_on(memory: LatentMemory) -> None:
    shelf, stop = day(memory), Event()

    def report(stage: str, step: int, total: int) -> None:
        if stage == "judging" and step > 2:
            stop.set()

    watch = Watch(report=report, stop=stop)
    with pytest.raises(NightStoppedError):
        consolidate(job(memory, shelf, watch=watch))
    assert len(kept_names(memory.database)) == 1
    night = consolidate(job(memory, shelf))
    assert night.verdict == "published"
    assert night.figures["kept"]["replays"] > 0
    assert kept_names(memory.database) == []
    assert [night.id for night in list_nights(memory.database)] == [1]


def test_a_night_that_has_lost_its_lock_publishes_nothing(
    server: Server, memory: LatentMemory
) -> None:
    def report(stage: str, step: int, total: int) -> None:
        if (stage, step) == ("judging", 1):
            server.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                f"WHERE application_name LIKE 'process {os.getpid()} on%%'"
            )

    shelf = day(memory)
    with pytest.raises(NightRunningError, match="lost the connection that held it"):
        consolidate(job(memory, shelf, watch=Watch(report=report)))
    assert usable_prior(memory, shelf) is None
    assert [night.result for night in list_nights(memory.database)] == [None]
    assert consolidate(job(memory, shelf)).verdict == "published"


def test_strict_forgetting_takes_weights_along(memory: LatentMemory) -> None:
    shelf = day(memory)
    consolidate(job(memory, shelf))
    assert [file.name for file in memory.database.files.list()] == ["1.safetensors"]
    memory.forget(ids=[3], strict=True)
    assert memory.database.files.list() == []
    assert usable_prior(memory, shelf) is None
    memory.forget(namespace="default")
    assert list_priors(memory.database) == list_nights(memory.database) == []


def test_a_call_goes_on_without_a_server_and_with_it_again(server: Server, url: str) -> None:
    chat = ChatLatentSeek(model="bundled", memory=url, seed=0)
    first = chat.invoke(QUESTION).response_metadata["latent_agent"]
    assert first["trace_id"] == 1
    assert first["memory_error"] is None
    server.stop()
    try:
        answer = chat.invoke(QUESTION)
    finally:
        server.start()
    told = answer.response_metadata["latent_agent"]
    assert answer.text
    assert "a memory's server must answer" in told["memory_error"]
    assert (told["trace_id"], told["warm_start"]["neighbours"]) == (None, [])
    again = chat.invoke(QUESTION).response_metadata["latent_agent"]
    assert again["memory_error"] is None
    assert again["warm_start"]["neighbours"] == [1]
    assert again["trace_id"] > 1  # a server that crashed may leave out some numbers


def test_no_repr_of_what_keeps_a_memory_tells_its_password() -> None:
    url = "postgresql+psycopg://me:s3cret-word@db.example.org/latents"
    for place in (url, url.replace(":s3cret-word", "") + "?password=s3cret-word"):
        chat = ChatLatentSeek(model="bundled", memory=place)
        retriever = TraceRetriever(memory=place, model="bundled")
        copied = chat.model_copy(update={"namespace": "ann"})
        for one in (chat, retriever, copied, chat.bind(stop=["x"]), chat.memory):
            assert "s3cret-word" not in f"{one!r} {one}"
        assert chat.memory.password == "s3cret-word"
    assert ChatLatentSeek(model="bundled", memory="m.sqlite3").memory == "m.sqlite3"


@pytest.mark.parametrize("kind", [ChatLatentSeek, TraceRetriever])
def test_no_error_about_another_argument_tells_a_password(kind: type) -> None:
    with pytest.raises(ValidationError, match="Field required") as raised:
        kind(memory="postgresql+psycopg://me:s3cret-word@db.example.org/latents")
    assert "s3cret-word" not in f"{raised.value} {raised.value.errors()}"


def test_no_record_of_a_call_tells_a_password() -> None:
    chat, heard = ChatLatentSeek(model="bundled", memory=None), Heard()
    url = "postgresql+psycopg://me:s3cret-word@/none?host=/nowhere/at/all"
    for place in (url, make_url(url)):
        with suppress(LatentMemoryError):
            chat.invoke("Hi", memory=place, config={"callbacks": [heard]})
        assert "s3cret-word" not in chat._get_llm_string(memory=place)
    assert "nowhere" in str(heard.told)
    assert "s3cret-word" not in str(heard.told)


class Heard(BaseCallbackHandler):
    """What tracers are told of calls."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def on_chat_model_start(self, *given: object, **more: object) -> None:
        self.told.append((given, more))


def test_doctor_looks_at_a_memory_on_a_server(url: str) -> None:
    with LatentMemory(url) as memory:
        shelf = day(memory)
        consolidate(job(memory, shelf))
    found = {one.about: one for one in examine("bundled", url, thorough=True, smoke=False)}
    assert {one.state for one in found.values()} == {"ok"}
    assert "120 traces" in found["memory"].text
    assert found["index of default"].text == "no file: the server keeps it"
    assert "version 1 active" in found["prior of default"].text
