"""The chat model in LangGraph: talks that go on, namespaces, and tokens as they come."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.chat_models import init_chat_model
from langchain_core.messages import AIMessageChunk, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.config import get_store
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.store.memory import InMemoryStore

from latent_agent import ChatLatentSeek
from latent_agent.teaching import questions
from latent_memory import LatentMemory

ASKED = [question.text for question in questions("test", n=3, seed=7)]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "memory.sqlite3") as opened:
        yield opened


@pytest.fixture
def chat(memory: LatentMemory) -> ChatLatentSeek:
    return ChatLatentSeek(model="bundled", memory=memory, reward=lambda _q, _a: -0.1)


def thread(name: str, namespace: str = "default") -> Any:
    return {"configurable": {"thread_id": name, "namespace": namespace}}


def asking(text: str) -> Any:
    return {"messages": [HumanMessage(text)]}


def test_a_talk_goes_on_where_it_was_left(chat: ChatLatentSeek, tmp_path: Path) -> None:
    place = str(tmp_path / "talks.sqlite3")
    with SqliteSaver.from_conn_string(place) as talks:
        first = create_agent(chat, [], checkpointer=talks).invoke(asking(ASKED[0]), thread("1"))
    with SqliteSaver.from_conn_string(place) as talks:  # as after a restart
        agent = create_agent(chat, [], checkpointer=talks)
        again = agent.invoke(asking(ASKED[1]), thread("1"))
        other = agent.invoke(asking(ASKED[1]), thread("2"))
    assert [len(one["messages"]) for one in (first, again, other)] == [2, 4, 2]
    kept, said = again["messages"][1], first["messages"][1]
    assert kept.text == said.text
    assert kept.response_metadata["latent_agent"] == said.response_metadata["latent_agent"]
    alone, in_talk = (one["messages"][-1].usage_metadata for one in (other, again))
    assert in_talk["input_tokens"] > alone["input_tokens"]


def test_the_namespace_in_a_graphs_config_reaches_the_memory(
    chat: ChatLatentSeek, memory: LatentMemory
) -> None:
    agent = create_agent(chat, [], checkpointer=InMemorySaver())
    agent.invoke(asking(ASKED[0]), thread("1", "ann"))
    asyncio.run(agent.ainvoke(asking(ASKED[1]), thread("2", "bob")))
    kept = {name: [one.query for one in memory.list(namespace=name)] for name in ("ann", "bob")}
    assert kept == {"ann": [ASKED[0]], "bob": [ASKED[1]]}
    assert memory.list(namespace="default") == []


def test_a_graphs_stream_shows_the_answer_in_chunks(chat: ChatLatentSeek) -> None:
    agent = create_agent(chat, [])
    parts = [part for part, _ in agent.stream(asking(ASKED[0]), stream_mode="messages")]
    chunks = [part for part in parts if isinstance(part, AIMessageChunk)]
    assert len(chunks) > 3
    assert "".join(chunk.text for chunk in chunks) == chat.invoke(ASKED[0], memory_mode="read").text


def test_in_a_node_of_ones_own_beside_the_store(chat: ChatLatentSeek) -> None:
    store = InMemoryStore()

    def answer(state: MessagesState) -> MessagesState:
        message = chat.invoke(state["messages"])
        get_store().put(("answers",), "last", {"text": message.text})
        return {"messages": [message]}

    graph = StateGraph(MessagesState).add_node("answer", answer).add_edge(START, "answer")
    answer = graph.compile(store=store).invoke(asking(ASKED[0]))["messages"][-1].text
    kept = store.get(("answers",), "last")
    assert kept is not None
    assert kept.value == {"text": answer}


def test_init_chat_model_knows_a_closed_list() -> None:
    """So pass an instance wherever a model is asked for, as all tests here do."""
    with pytest.raises(ValueError, match="Unsupported"):
        init_chat_model("bundled", model_provider="latent-agent")
