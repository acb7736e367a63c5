"""The fake engine: told replies, a search from one to the next, memory, no weights."""

from pathlib import Path

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.model.fake_engine import FakeEngine

SUM, GREETING = "What is 2 + 2?", "Hello, \u00e9t\u00e9!"


@pytest.fixture
def chat(tmp_path: Path) -> ChatLatentSeek:
    engine = FakeEngine({SUM: ["5", "6", "4"], GREETING: "Good morning, caf\u00e9."})
    return ChatLatentSeek(model=engine, memory=tmp_path / "m.sqlite3", reward=four)


def four(question: str, answer: str) -> float:
    return 0.0 if answer == "4" or question != SUM else -1.0


def test_it_says_what_it_was_told(chat: ChatLatentSeek) -> None:
    assert chat.invoke(GREETING).text == "Good morning, caf\u00e9."
    assert chat.invoke("Who are you?").text == "I do not know."
    assert chat.invoke(SUM, max_iterations=0).text == "5"


def test_a_search_finds_the_reply_that_is_accepted(chat: ChatLatentSeek) -> None:
    told = chat.invoke(SUM).response_metadata["latent_agent"]
    assert (told["draft"], told["source"], told["stopped"]) == ("5", "search", "threshold")
    assert told["rewards"][-1] == [0.0]
    assert told["trace_id"] is not None


def test_a_trace_is_recalled(chat: ChatLatentSeek) -> None:
    first = chat.invoke(SUM).response_metadata["latent_agent"]
    again = chat.invoke(SUM)
    assert again.text == "4"
    told = again.response_metadata["latent_agent"]
    assert (told["source"], told["warm_start"]["neighbours"]) == ("memory", [first["trace_id"]])


def test_engines_that_were_told_otherwise_share_no_traces() -> None:
    ours, same, other = (FakeEngine({SUM: said}) for said in ("4", "4", "5"))
    assert ours.identity == same.identity != other.identity


def test_tokens_are_counted(chat: ChatLatentSeek) -> None:
    message = chat.invoke(GREETING)
    spent = message.response_metadata["latent_agent"]["forwarded_tokens"]
    assert message.usage_metadata is not None
    assert spent["draft"] == message.usage_metadata["total_tokens"] - 1
