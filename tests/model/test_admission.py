"""A bounded line of calls for one model: who is one too many is told so at once."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from latent_agent import ChatLatentSeek
from latent_agent.chat.llm import LatentSeekLLM
from latent_agent.errors import BusyError, CallCancelled, SettingError
from latent_agent.model.admission import CallQueue
from latent_agent.model.fake_engine import FakeEngine
from latent_agent.model.registry import open_model
from latent_agent.settings import CALLS, settings_for
from latent_agent.teaching import questions

ASKED: list[Any] = [question.text for question in questions("test", n=8, seed=2)]


class Held:
    """A reward that lets no call go on until it is told to."""

    id = "held"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.inside = threading.Semaphore(0)

    def __call__(self, question: str, answer: str) -> float:
        self.inside.release()
        assert self.go.wait(60)
        return 0.0


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()
    assert queue()._present == queue()._working == 0
    assert queue()._line == []


def queue() -> CallQueue:
    return open_model("bundled").queue


def chat_with(reward: Any, **given: Any) -> ChatLatentSeek:
    return ChatLatentSeek(model="bundled", memory=None, reward=reward, **given)


def in_line(count: int) -> None:
    """Wait until so many calls wait."""
    with queue()._changed:
        assert queue()._changed.wait_for(lambda: queue().waiting == count, 60)


def test_one_call_too_many_is_refused_at_once_and_the_others_answered(held: Held) -> None:
    chat = chat_with(held, max_calls=2, max_waiting=1)
    with ThreadPoolExecutor(4) as threads:
        working = [threads.submit(chat.invoke, text) for text in ASKED[:2]]
        for _ in working:
            assert held.inside.acquire(timeout=60)
        third = threads.submit(chat.invoke, ASKED[2])
        in_line(1)
        refusal = r"at most 1 calls may wait .* while 2 are answered, but 1 do; .* max_waiting"
        with pytest.raises(BusyError, match=refusal):
            chat.invoke(ASKED[3])
        with pytest.raises(BusyError):
            list(chat.stream(ASKED[3]))
        with pytest.raises(BusyError):
            LatentSeekLLM(chat=chat).invoke(ASKED[3])
        assert not held.inside.acquire(blocking=False)  # the third does not work yet
        held.go.set()
        assert all(future.result(60).text for future in [*working, third])
    assert chat.invoke(ASKED[3]).text


async def test_awaited_calls_wait_in_the_same_line(held: Held) -> None:
    """The line is bounded although an event loop has threads of its own for calls."""
    chat = chat_with(held, max_calls=1, max_waiting=2)
    first = asyncio.create_task(chat.ainvoke(ASKED[0]))
    assert await asyncio.to_thread(held.inside.acquire, timeout=60)
    others = [asyncio.create_task(chat.ainvoke(text)) for text in ASKED[1:3]]
    await asyncio.to_thread(in_line, 2)
    with pytest.raises(BusyError):
        await chat.ainvoke(ASKED[3])
    with pytest.raises(BusyError):
        async for _ in chat.astream(ASKED[3]):
            pass
    others[1].cancel()  # who stops waiting makes room
    with pytest.raises(asyncio.CancelledError):
        await others[1]
    await asyncio.to_thread(in_line, 1)
    late = asyncio.create_task(chat.ainvoke(ASKED[3]))
    await asyncio.to_thread(in_line, 2)
    held.go.set()
    assert all(message.text for message in await asyncio.gather(first, others[0], late))


async def test_a_batch_waits_for_its_own_calls_and_is_refused_for_others(held: Held) -> None:
    chat = chat_with(held, max_calls=2, max_waiting=0)
    held.go.set()
    assert all(message.text for message in chat.batch(ASKED[:6]))
    assert all(message.text for message in await chat.abatch(ASKED[:6]))
    assert all(LatentSeekLLM(chat=chat).batch(ASKED[:4]))
    held.go.clear()
    while held.inside.acquire(blocking=False):
        pass
    with ThreadPoolExecutor(1) as thread:
        other = thread.submit(chat.invoke, ASKED[0])
        assert held.inside.acquire(timeout=60)
        batch = asyncio.create_task(
            asyncio.to_thread(chat.batch, ASKED[1:4], return_exceptions=True)
        )
        assert await asyncio.to_thread(held.inside.acquire, timeout=60)
        held.go.set()
        answers = await batch
        assert other.result(60).text
    refused = [one for one in answers if isinstance(one, BusyError)]
    assert 1 <= len(refused) <= 2
    assert len(answers) == 3


def test_a_reward_may_ask_the_model_that_calls_it(held: Held) -> None:
    """A judge that waited in the line of the call that it judges would wait for ever."""
    held.go.set()
    judge = chat_with(held, max_calls=1, max_waiting=0)
    chat = chat_with(lambda *_: -0.5 if judge.invoke(ASKED[1]).text else -1.0, max_calls=1,
                     max_waiting=0, max_iterations=1)  # fmt: skip
    assert chat.invoke(ASKED[0]).response_metadata["latent_agent"]["rewards"][0] == [-0.5]


def test_time_in_line_is_time_of_the_call(held: Held) -> None:
    chat = chat_with(held, max_calls=1, max_waiting=3)
    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(chat.invoke, ASKED[0])
        assert held.inside.acquire(timeout=60)
        late: Callable[[], Any] = lambda: chat.invoke(ASKED[1], timeout=0.3)  # noqa: E731
        with pytest.raises(BusyError, match=r"its timeout of 0\.3 seconds"):
            threads.submit(late).result(60)
        held.go.set()
        assert first.result(60).text


def test_who_comes_first_is_answered_first() -> None:
    line, settings = CallQueue(), settings_for(max_calls=1, max_waiting=9)
    order: list[int] = []

    def work(number: int) -> None:
        with line.turn(settings, threading.Event()):
            order.append(number)

    with ThreadPoolExecutor(6) as threads:
        with line.turn(settings, threading.Event()):
            waiting: list[Future[None]] = []
            for number in range(6):
                waiting.append(threads.submit(work, number))
                with line._changed:
                    assert line._changed.wait_for(lambda: len(line._line) == len(waiting), 30)
        for future in waiting:
            future.result(30)
    assert order == list(range(6))


def test_a_cancelled_call_leaves_the_line() -> None:
    line, settings, cancelled = CallQueue(), settings_for(max_calls=1, max_waiting=9), None
    cancelled = threading.Event()

    def work() -> None:
        with line.turn(settings, cancelled):
            raise AssertionError("it was not wanted any more")

    with ThreadPoolExecutor(1) as threads, line.turn(settings, threading.Event()):
        future = threads.submit(work)
        with line._changed:
            assert line._changed.wait_for(lambda: line.waiting == 1, 30)
        cancelled.set()
        with pytest.raises(CallCancelled):
            future.result(30)
        assert line.waiting == 0


@pytest.mark.parametrize("wrong", [{"max_waiting": -1}, {"max_calls": 0}, {"max_waiting": 1.5}])
def test_a_line_without_sense_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingError, match=r"max_.* must be .*, got"):
        ChatLatentSeek(model="bundled", **wrong)


def test_as_many_awaited_calls_are_answered_at_once_as_the_setting_says(held: Held) -> None:
    count = CALLS + 8

    async def ask() -> None:
        chat = chat_with(held, max_calls=count, max_waiting=0, max_tokens=5, max_iterations=1)
        calls = [asyncio.ensure_future(chat.ainvoke(ASKED[0])) for _ in range(count)]
        loop = asyncio.get_running_loop()
        for _ in range(count):
            assert await loop.run_in_executor(None, held.inside.acquire, True, 60)
        assert queue()._working == count
        held.go.set()
        await asyncio.gather(*calls)

    asyncio.run(ask())


async def test_calls_of_one_model_take_no_threads_of_another(held: Held) -> None:
    chat = chat_with(held, max_calls=1, max_waiting=1)
    both = [asyncio.create_task(chat.ainvoke(text)) for text in ASKED[:2]]
    await asyncio.to_thread(in_line, 1)
    other = chat.model_copy(update={"model": FakeEngine({ASKED[0]: "5"}), "reward": lambda *_: 0.0})
    assert (await asyncio.wait_for(other.ainvoke(ASKED[0]), 30)).text == "5"
    held.go.set()
    await asyncio.gather(*both)


@pytest.mark.parametrize("waiting", [1, None], ids=["in line", "for a thread"])
def test_waiting_counts_against_the_timeout(held: Held, waiting: int | None) -> None:
    async def ask() -> None:
        chat = chat_with(held, max_calls=1, max_waiting=waiting, max_tokens=5)
        first = asyncio.ensure_future(chat.ainvoke(ASKED[0]))
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, held.inside.acquire, True, 60)
        second = asyncio.ensure_future(chat.ainvoke(ASKED[1], timeout=0.5))
        done, _ = await asyncio.wait([second], timeout=1.0)
        assert bool(done) == (waiting is not None)  # who is in line is told at once
        held.go.set()
        with pytest.raises(BusyError, match=r"0\.5 seconds"):
            await second
        assert (await first).text

    asyncio.run(ask())
