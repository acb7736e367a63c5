"""A talk is recalled by all that was said in it, not by its last line alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from latent_agent import ChatLatentSeek
from latent_memory import LatentMemory

LAST = "And how many are left now?"
FARM: list[BaseMessage] = [
    HumanMessage("At first Tom has 61 eggs. Then Tom sells 33 eggs."),
    AIMessage("We subtract. 61 - 33 = 28."),
    HumanMessage(LAST),
]
WEEK: list[BaseMessage] = [
    HumanMessage("Today is Monday. The trip of Ann is in 3 days."),
    AIMessage("We count on. Monday + 3 days = Thursday."),
    HumanMessage(LAST),
]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "memory.sqlite3") as opened:
        yield opened


@pytest.fixture
def chat(memory: LatentMemory) -> ChatLatentSeek:
    def content(question: str, answer: str) -> float:
        return -0.1

    return ChatLatentSeek(model="bundled", memory=memory, reward=content, neighbours=1)


def metadata(message: AIMessage) -> dict[str, Any]:
    return message.response_metadata["latent_agent"]


def test_the_same_last_line_in_another_talk_is_another_question(
    chat: ChatLatentSeek, memory: LatentMemory
) -> None:
    ids = [metadata(chat.invoke(talk, memory_mode="write"))["trace_id"] for talk in (FARM, WEEK)]
    alone = metadata(chat.invoke(LAST, memory_mode="write"))["trace_id"]
    stored = [memory.get(one) for one in (*ids, alone)]
    kept = [one.trace for one in stored if one is not None]
    assert [one.query for one in kept] == [LAST] * 3
    vectors = [one.embedding for one in kept]
    for left, right in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(vectors[left] - vectors[right]).max() > 0.01


@pytest.mark.parametrize("earlier", [FARM, WEEK])
def test_a_talk_recalls_its_own_kind_though_both_end_alike(
    chat: ChatLatentSeek, earlier: list[BaseMessage]
) -> None:
    ids = {
        id(talk): metadata(chat.invoke(talk, memory_mode="write"))["trace_id"]
        for talk in (FARM, WEEK)
    }
    chat.invoke(LAST, memory_mode="write")
    again = metadata(chat.invoke(earlier, memory_mode="read"))
    assert again["warm_start"]["neighbours"] == [ids[id(earlier)]]
    reworded = [HumanMessage(earlier[0].text.replace("3", "4")), *earlier[1:]]
    alike = metadata(chat.invoke(reworded, memory_mode="read"))
    assert alike["warm_start"]["neighbours"] == [ids[id(earlier)]]


def test_a_system_message_is_part_of_the_talk(chat: ChatLatentSeek, memory: LatentMemory) -> None:
    system = SystemMessage("Answer about weekdays, in short sentences.")
    ids = [metadata(chat.invoke(talk))["trace_id"] for talk in ([system, *FARM], FARM)]
    first, second = (memory.get(one) for one in ids)
    assert first is not None
    assert second is not None
    assert np.abs(first.trace.embedding - second.trace.embedding).max() > 0.01
