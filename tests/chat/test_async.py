"""Awaited calls: the event loop goes on, and what is cancelled stops."""

import asyncio
import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.model.registry import open_model
from latent_agent.teaching import questions
from tests.support.engines import transformers_engine

ASKED = [question.text for question in questions("test", n=8, seed=2)]


@pytest.fixture
def endless() -> ChatLatentSeek:
    """A search that no answer ends, and that changes its prefix all the time."""
    return ChatLatentSeek(
        model="bundled",
        memory=None,
        reward=lambda _question, _answer: -0.5,
        max_iterations=100_000,
        learning_rate=1.0,
    )


@pytest.fixture
def passes() -> Iterator[list[float]]:
    """The time of each forward pass that the bundled model makes."""
    seen: list[float] = []
    body = transformers_engine(open_model("bundled")).model.base_model
    hook = body.register_forward_pre_hook(lambda *_: seen.append(time.monotonic()))
    yield seen
    hook.remove()


async def started(passes: list[float]) -> None:
    while len(passes) < 30:
        await asyncio.sleep(0.002)


async def settled(passes: list[float]) -> int:
    """How many passes there were once no more come."""
    count = -1
    while count != len(passes):
        count = len(passes)
        await asyncio.sleep(0.3)
    return count


async def test_the_event_loop_misses_no_beat(endless):
    beats: list[float] = []

    async def heart() -> None:
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(0.005)

    beating = asyncio.create_task(heart())
    began = time.monotonic()
    given: Any = {"max_iterations": 150}
    await asyncio.gather(*(endless.ainvoke(text, **given) for text in ASKED[:2]))
    took = time.monotonic() - began
    beating.cancel()
    longest = max(late - early for early, late in pairwise(beats))
    assert len(beats) > 20
    assert longest < took / 5  # a blocked loop has one gap as long as the call


async def test_a_cancelled_call_stops_within_one_pass(endless, passes):
    task = asyncio.create_task(endless.ainvoke(ASKED[0]))
    await started(passes)
    task.cancel()
    made = len(passes)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await settled(passes) <= made + 1


async def test_a_timeout_stops_a_call_too(endless, passes):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(endless.ainvoke(ASKED[0]), 0.5)
    made = len(passes)
    assert await settled(passes) <= made + 1


@pytest.mark.parametrize("stream_draft", [False, True])
async def test_a_cancelled_stream_stops_too(endless, passes, stream_draft):
    async def read() -> None:
        async for _ in endless.astream(ASKED[0], stream_draft=stream_draft):
            pass

    task = asyncio.create_task(read())
    await started(passes)
    task.cancel()
    made = len(passes)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await settled(passes) <= made + 1


async def test_a_stream_that_is_left_stops(endless, passes):
    for _ in endless.stream(ASKED[0], stream_draft=True):
        break
    made = len(passes)
    assert await settled(passes) <= made + 1


async def test_a_cancelled_call_leaves_no_trace_and_harms_no_other(tmp_path, endless):
    path = str(tmp_path / "memory.sqlite3")
    chat = ChatLatentSeek(model="bundled", memory=path, memory_mode="write")
    cancelled = asyncio.create_task(endless.ainvoke(ASKED[0], memory=path))
    others = asyncio.gather(*(chat.ainvoke(text) for text in ASKED))
    await asyncio.sleep(0.05)
    cancelled.cancel()
    answers = [message.text for message in await others]
    assert answers == [chat.invoke(text).text for text in ASKED]
    with pytest.raises(asyncio.CancelledError):
        await cancelled
