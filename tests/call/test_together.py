"""Many questions at once give the answers of one by one, and leave their traces."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate

from latent_agent import ChatLatentSeek, LatentSeekLLM
from latent_agent.chat.threads import CALLS, at_once
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.teaching import questions
from latent_memory import UNRATED, LatentMemory

pytestmark = pytest.mark.timeout(600)
TEXTS: list[Any] = [question.text for question in questions("test", n=CALLS, seed=23)]
SETTINGS: dict[str, Any] = {
    "model": "bundled",
    "dtype": "float32",
    "memory_mode": "write",  # recall depends on what was asked before
    "max_iterations": 2,
    "archive": -1.0,
    "max_tokens": 40,
}


def reported(message: AIMessage) -> dict[str, Any]:
    """All that a call reports of itself, but for the trace's id."""
    metadata = {**message.response_metadata["latent_agent"], "text": message.text}
    return {
        name: value for name, value in metadata.items() if name not in ("trace_id", "answer_id")
    }


@pytest.fixture(scope="module")
def one_by_one() -> list[dict[str, Any]]:
    chat = ChatLatentSeek(memory=None, **SETTINGS)
    return [reported(chat.invoke(text)) for text in TEXTS]


@pytest.fixture
def rows_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each pass had."""
    rows: list[int] = []
    states = TransformersEngine.states

    def seen(self: TransformersEngine, ids: torch.Tensor, *args: Any) -> torch.Tensor:
        rows.append(ids.shape[0])
        return states(self, ids, *args)

    monkeypatch.setattr(TransformersEngine, "states", seen)
    return rows


def by_awaiting(chat: ChatLatentSeek) -> Sequence[AIMessage]:
    async def ask() -> list[AIMessage]:
        return await asyncio.gather(*(chat.ainvoke(text) for text in TEXTS))

    return asyncio.run(ask())


def by_threads(chat: ChatLatentSeek) -> Sequence[AIMessage]:
    with ThreadPoolExecutor(8) as threads:
        return list(threads.map(chat.invoke, TEXTS))


def by_batch(chat: ChatLatentSeek) -> Sequence[AIMessage]:
    return chat.batch(TEXTS)


@pytest.mark.parametrize("ask", [by_awaiting, by_threads, by_batch])
def test_many_at_once_answer_as_one_by_one_and_leave_their_traces(
    ask: Any, tmp_path: Path, one_by_one: list[dict[str, Any]], rows_of: list[int]
) -> None:
    path = tmp_path / "memory.sqlite3"
    messages = ask(ChatLatentSeek(memory=str(path), **SETTINGS))
    assert [reported(message) for message in messages] == one_by_one
    assert max(rows_of) >= 8
    with LatentMemory(path) as memory:
        ids = [message.response_metadata["latent_agent"]["trace_id"] for message in messages]
        kept = [message.response_metadata["latent_agent"]["answer_id"] for message in messages]
        assert all(answer == id_ for answer, id_ in zip(kept, ids, strict=True) if id_ is not None)
        kept = [id_ for id_ in ids if id_ is not None]
        judged = [info.traces for info in memory.shelves() if info.shelf.reward != UNRATED]
        assert sum(judged) == len(kept) == len(set(kept))
        for text, message, id_ in zip(TEXTS, messages, ids, strict=True):
            if id_ is not None:
                stored = memory.get(id_)
                assert stored is not None
                assert (stored.trace.query, stored.trace.answer) == (text, message.text)
    assert len(kept) > CALLS / 2


def test_every_kind_of_batch_runs_together(
    one_by_one: list[dict[str, Any]], rows_of: list[int]
) -> None:
    asked, known = TEXTS[:8], [call["text"] for call in one_by_one[:8]]
    chat = ChatLatentSeek(memory=None, **SETTINGS)
    chain = ChatPromptTemplate.from_messages([("human", "{text}")]) | chat
    llm = LatentSeekLLM(chat=chat)

    def in_turn(completed: Any) -> list[str]:
        return [message.text for _, message in sorted(completed, key=lambda pair: pair[0])]

    kinds = {
        "chain": lambda: [one.text for one in chain.batch([{"text": text} for text in asked])],
        "as completed": lambda: in_turn(chat.batch_as_completed(asked)),
        "awaited": lambda: [one.text for one in asyncio.run(chat.abatch(list(asked)))],
        "texts": lambda: llm.batch(list(asked)),
    }
    for kind, ask in kinds.items():
        rows_of.clear()
        assert ask() == known, kind
        assert max(rows_of) >= 7, kind  # more than LangChain's own threads on two cores


def test_a_batch_heeds_its_config(rows_of: list[int]) -> None:
    unjudged: dict[str, Any] = {**SETTINGS, "max_iterations": 0}
    chat = ChatLatentSeek(memory=None, **unjudged)
    chat.batch(TEXTS[:4], {"max_concurrency": 1})
    assert max(rows_of) == 1
    assert chat.batch([]) == []
    assert at_once({"max_concurrency": 3, "tags": ["a"]}, 2)[0].get("max_concurrency") == 3
    assert at_once([{"tags": ["a"]}, {"tags": ["b"]}], 2)[1].get("tags") == ["b"]
