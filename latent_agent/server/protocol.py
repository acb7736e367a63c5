"""Connections that say nothing, or do not read, are closed: they would take others' places."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_SILENCE = 30.0  # seconds in which a connection must have sent a whole request's head
_STALLED = 60.0  # seconds in which a client must have read something of an answer


class ImpatientProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, with patience for slow clients, and no more than that."""

    _silent: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._silent = self.loop.call_later(_SILENCE, self._end_if_silent)

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        _cancel(self._silent)
        self._silent = self.loop.call_later(_SILENCE, self._end_if_silent)

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._stalled = self.loop.call_later(_STALLED, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has read."""
        super().resume_writing()
        _cancel(self._stalled)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        _cancel(self._silent)
        _cancel(self._stalled)
        super().connection_lost(exc)

    def _end_if_silent(self) -> None:
        cycle: Any = self.cycle  # None before the first request, whatever its type says
        if cycle is None or cycle.response_complete:
            self.transport.abort()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
