"""A whole day and night on a real model: drafts, streams, recall, a night, on each engine."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.call.call import Call
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.nights.gate import GateSettings
from latent_agent.nights.job import NightSettings
from latent_agent.nights.night import consolidate
from latent_agent.nights.targets import job_for
from latent_agent.nights.training import FitSettings
from latent_agent.reward import SelfReward
from latent_agent.settings import settings_for
from latent_agent.teaching import questions
from latent_memory import LatentMemory

pytestmark = [pytest.mark.real, pytest.mark.timeout(3600)]
SHORT: dict[str, Any] = {"max_tokens": 24, "prefix_tokens": 4, "max_iterations": 2}


def short(question: str, answer: str) -> float:
    """Accepts what has few vowels, so that searches have something to find in any language."""
    vowels = sum(letter in "aeiou" for letter in answer)
    return -min(1.0, vowels / (1 + len(answer)))


short.deterministic = True  # type: ignore[attr-defined]


@pytest.fixture
def chat(real_engine: dict[str, Any], tmp_path: Path) -> Iterator[ChatLatentSeek]:
    found = ChatLatentSeek(
        **real_engine, memory=tmp_path / "memory.sqlite3", reward=short, archive=-1.0, **SHORT
    )
    yield found
    found.close()


def test_latents_that_have_not_moved_give_the_draft_back(real_engine: dict[str, Any]) -> None:
    chat = ChatLatentSeek(**real_engine, memory=None)
    shared, settings = chat._shared_model(), settings_for(max_tokens=16)
    for one in questions("test", n=100, seed=2):
        turns = [Turn("user", one.text)]
        prompt = encode_chat(shared.tokenizer, turns)
        writer = Call(shared, settings, SelfReward(), turns, prompt).writer
        draft = writer.draft()
        assert writer.decode(draft.latents, writer.greedy) == draft.tokens


def test_a_stream_says_what_a_call_says(chat: ChatLatentSeek) -> None:
    asked = "Name three colours."
    said = chat.invoke(asked, memory=None)
    chunks = list(chat.stream(asked, memory=None))
    assert "".join(chunk.text for chunk in chunks) == said.text
    assert said.text


def test_what_was_asked_is_recalled(chat: ChatLatentSeek) -> None:
    first = chat.invoke("How many legs has a spider?").response_metadata["latent_agent"]
    assert first["trace_id"] is not None
    again = chat.invoke("How many legs has a spider?").response_metadata["latent_agent"]
    assert again["warm_start"]["neighbours"] == [first["trace_id"]]
    assert again["memory_error"] is None


def test_a_night_comes_to_its_end(chat: ChatLatentSeek, tmp_path: Path) -> None:
    for one in questions("train", n=30, seed=0):
        assert chat.invoke(one.text).response_metadata["latent_agent"]["memory_error"] is None
    settings = NightSettings(
        fit=FitSettings(epochs=3), gate=GateSettings(calls=8, least=2), hidden=16, least=8
    )
    report = consolidate(replace(job_for(chat), settings=settings))
    assert report.verdict in ("published", "refused", "unjudged")
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        assert list(memory.verify()) == []
    after = chat.invoke("How many legs has an ant?").response_metadata["latent_agent"]
    assert after["memory_error"] is None
