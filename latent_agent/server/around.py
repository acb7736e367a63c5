"""What stands around every request: size, pace, its log line, and what nobody foresaw."""

import asyncio
import logging
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from latent_agent.server.errors import ApiError, api_error, without_text
from latent_agent.server.metrics import Metrics

_BODY_SECONDS = 30.0  # in which a body must come

_log = logging.getLogger("latent_agent.server")


class Around:
    """Reads bodies within bounds, counts requests, and answers for what nobody foresaw.

    The log names route, status, time and key. No path, query or text of a request is in it.

    Args:
        app: What answers.
        metrics: Where requests are counted.
        body: Bytes that a request may have.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, body: int) -> None:
        self._app, self._metrics, self._body = app, metrics, body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.monotonic(), 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        self._metrics.unanswered.inc()
        try:
            await self._answer(scope, receive, sending)
        except asyncio.CancelledError:  # the deadline of a server that ends
            if status:
                raise
            error = ApiError(
                503,
                "the server ends, and this request was not answered by its deadline; send it again",
                "shutting_down",
                headers={"retry-after": "5"},
            )
            await error.response()(scope, receive, sending)
        except Exception as error:
            _log.error("a request failed: %s", without_text(error))
            if status:
                raise _CutOffError from None  # the server closes the connection
            await api_error(error).response()(scope, receive, sending)
        finally:
            self._metrics.unanswered.dec()
            self._note(scope, status, time.monotonic() - began)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            body = await self._read(scope, receive)
        except ApiError as error:
            await error.response()(scope, receive, send)
            return
        if body is None:  # the client is gone
            return
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def receiving() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, receiving, send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """Read a request's body; None: the client hung up meanwhile.

        Raises:
            ApiError: If it is too large, or comes too slowly.
        """
        named = dict(scope["headers"]).get(b"content-length", b"0")
        if named.isdigit() and int(named) > self._body:
            raise self._too_large(f"{int(named):,}")
        parts: list[bytes] = []
        size, more = 0, True
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    parts.append(message.get("body", b""))
                    more, size = message.get("more_body", False), size + len(parts[-1])
                    if size > self._body:
                        raise self._too_large("more")
        except TimeoutError:
            raise ApiError(
                408,
                f"a request must come within {_BODY_SECONDS:g} seconds, got {size:,} bytes by "
                "then; send it again",
                "too_slow",
                headers={"connection": "close"},
            ) from None
        return b"".join(parts)

    def _too_large(self, got: str) -> ApiError:
        return ApiError(
            413,
            f"a request must have at most {self._body:,} bytes, got {got}; send less, or start "
            "the server with --most-bytes",
            "too_large",
            headers={"connection": "close"},
        )

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "none")
        key: Any = scope.get("state", {}).get("key", "none")
        self._metrics.requests.labels(route, status, key).inc()
        self._metrics.seconds.labels(route).observe(seconds)
        details = {"event": "request", "route": route, "status": status, "key": key}
        _log.info(
            "%s %s: %d in %.3f s, key %s", scope["method"], route, status, seconds, key,
            extra={**details, "seconds": round(seconds, 4)},
        )  # fmt: skip


class _CutOffError(Exception):
    """An answer that failed on its way."""
