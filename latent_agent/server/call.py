"""One request's call of the chat model: it stops within a pass once nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

from fastapi import Request
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.errors import CallCancelled

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the chat model is asked.

    Attributes:
        chat: It.
        messages: The conversation.
        stop: Texts that end an answer.
        arguments: Keywords of the call.
        notes: For tracers.
        run: Id of the call's run.
    """

    chat: ChatLatentSeek
    messages: list[BaseMessage]
    stop: list[str] | None
    arguments: Mapping[str, Any]
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    run: UUID = field(default_factory=uuid4)

    async def answers(self, **more: Any) -> list[AIMessage]:
        """Return the answers."""
        result = await self.chat.agenerate(
            [self.messages],
            stop=self.stop,
            metadata=dict(self.notes),
            run_id=self.run,
            **self.arguments,
            **more,
        )
        made: list[AIMessage] = []
        for one in result.generations[0]:
            assert isinstance(one, ChatGeneration)
            assert isinstance(one.message, AIMessage)
            made.append(one.message)
        return made


Event = tuple[str, Mapping[str, Any]]


class Listened:
    """A call that goes on in a task, with its events as they come; it waits for no listener.

    Args:
        asked: What to ask.
    """

    def __init__(self, asked: Asked) -> None:
        loop, self._events = asyncio.get_running_loop(), asyncio.Queue[Event | None]()

        def on_progress(event: str, details: Mapping[str, Any]) -> None:
            loop.call_soon_threadsafe(self._events.put_nowait, (event, details))

        self._task = asyncio.create_task(asked.answers(on_progress=on_progress))
        self._task.add_done_callback(lambda _: self._events.put_nowait(None))

    async def events(self, silence: float) -> AsyncIterator[Event | None]:
        """Yield events; None after so many seconds without one."""
        while True:
            try:
                event = await asyncio.wait_for(self._events.get(), silence)
            except TimeoutError:
                yield None
                continue
            if event is None:
                return
            yield event

    async def begun(self, patience: float) -> None:
        """Wait until it is at work, and raise what it failed with before."""
        try:
            event = await asyncio.wait_for(self._events.get(), patience)
        except TimeoutError:
            return
        self._events.put_nowait(event)
        if event is None:
            await self.answers()

    async def answers(self) -> list[AIMessage]:
        """Return the answers once they stand."""
        return await self._task

    async def stop(self) -> None:
        """Stop the call unless it has ended."""
        self._task.cancel()
        await asyncio.wait([self._task])


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work for a client; stop it once the client has hung up.

    Raises:
        CallCancelled: If the client hung up.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallCancelled
        return task.result()
    finally:
        for one in (task, gone):
            one.cancel()
        await asyncio.wait([task, gone])


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
