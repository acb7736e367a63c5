"""One request's call of the chat model: it stops within a pass once nobody waits for it."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID, uuid4

from fastapi import Request
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    message_chunk_to_message,
)

from latent_agent.chat.chat_model import ChatLatentSeek
from latent_agent.errors import CallCancelled

T = TypeVar("T")
Event = tuple[str, Mapping[str, Any]]
TEXT = "text"
"""The event of a piece of plain generation."""


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
        thinks: Whether the model may think first, so that its words need not be its answer's.
    """

    chat: ChatLatentSeek
    messages: list[BaseMessage]
    stop: list[str] | None
    arguments: Mapping[str, Any]
    notes: Mapping[str, Any] = field(default_factory=dict[str, Any])
    run: UUID = field(default_factory=uuid4)
    thinks: bool = False

    @property
    def plain(self) -> bool:
        """Whether the draft is the answer, so that it can be sent while it is written."""
        given = self.arguments
        rounds = given.get("max_iterations", self.chat.max_iterations)
        formed = any(given.get(name) for name in ("tools", "response_format", "logprobs"))
        return rounds == 0 and given.get("n", 1) == 1 and not formed and not self.thinks

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
        made: list[Any] = [one for one in result.generations[0]]
        return [one.message for one in made]

    async def written(self, listener: "Listener") -> list[AIMessage]:
        """Return the answer of plain generation, telling its pieces meanwhile."""
        config: Any = {"run_id": self.run, "metadata": dict(self.notes)}
        given = {**self.arguments, "stream_draft": True, "on_progress": listener}
        whole: AIMessageChunk | None = None
        async for chunk in self.chat.astream(self.messages, config, stop=self.stop, **given):
            if piece := chunk.additional_kwargs.get("draft"):
                listener(TEXT, {TEXT: piece})
            whole = chunk if whole is None else whole + chunk
        assert whole is not None
        message = message_chunk_to_message(whole)
        assert isinstance(message, AIMessage)
        return [message]


class Listener:
    """Takes a call's events, from whichever thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.events: asyncio.Queue[Event | None] = asyncio.Queue()

    def __call__(self, event: str, details: Mapping[str, Any]) -> None:
        """Take an event."""
        self._loop.call_soon_threadsafe(self.events.put_nowait, (event, details))

    def end(self, _: object) -> None:
        """Take the end."""
        self._loop.call_soon(self.events.put_nowait, None)  # behind what threads still told


class Listened:
    """A call that goes on in a task, with its events as they come; it waits for no reader.

    Args:
        asked: What to ask.
    """

    def __init__(self, asked: Asked) -> None:
        self._listener = listener = Listener()
        self._first: list[Event | None] = []  # an event that `begun` waited for
        answers = asked.written(listener) if asked.plain else asked.answers(on_progress=listener)
        self._task = asyncio.create_task(answers)
        self._task.add_done_callback(listener.end)
        self._task.add_done_callback(_heard)

    async def begun(self, patience: float) -> None:
        """Wait until it is at work, and raise what it failed with before."""
        events = self._listener.events
        try:
            event = await asyncio.wait_for(events.get(), patience)
        except TimeoutError:
            return
        self._first.append(event)
        if event is None:
            await self.answers()

    async def events(self, silence: float) -> AsyncIterator[Event | None]:
        """Yield events; None after so many seconds without one."""
        while True:
            try:
                event = (
                    self._first.pop()
                    if self._first
                    else await asyncio.wait_for(self._listener.events.get(), silence)
                )
            except TimeoutError:
                yield None
                continue
            if event is None:
                return
            yield event

    async def answers(self) -> list[AIMessage]:
        """Return the answers once they stand."""
        return await self._task

    def stop(self) -> None:
        """Stop the call unless it has ended."""
        self._task.cancel()


async def unless_gone(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Do work for a client; stop it once the client has hung up.

    Raises:
        CallCancelled: If the client hung up.
    """
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    task.add_done_callback(_heard)
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise CallCancelled
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _heard(task: "asyncio.Task[Any]") -> None:
    """Hear of a failure: one that nobody waits for would be logged, with the text in it."""
    if not task.cancelled():
        task.exception()
