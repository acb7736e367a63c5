"""``/v1/chat/completions``."""

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from latent_agent.server.access import Access
from latent_agent.server.answers import Completion
from latent_agent.server.call import Asked, Listened, unless_gone
from latent_agent.server.errors import ApiError, api_error
from latent_agent.server.keys import Right
from latent_agent.server.messages import characters_of, form_arguments, messages_of, stop_of
from latent_agent.server.requests import ChatRequest
from latent_agent.server.service import Service


def completions(service: Service, access: Access) -> APIRouter:
    """Return the route that answers conversations."""
    router = APIRouter(tags=["chat"])

    @router.post("/v1/chat/completions")
    async def complete(request: Request, sent: ChatRequest) -> Response:  # pyright: ignore[reportUnusedFunction]
        """Answer a conversation; ``latent_agent`` says how the answer came about."""
        key = access.demand(request, Right.ASK)
        access.check_model(sent.model)
        if (length := characters_of(sent)) > service.bounds.characters:
            raise ApiError(
                413,
                f"a prompt must have at most {service.bounds.characters:,} characters, got "
                f"{length:,}; send less, or start the server with --most-characters",
                "prompt_too_long",
                param="messages",
            )
        namespace = access.namespace(key, sent.latent_agent.namespace)
        asked = Asked(
            chat=service.chat,
            messages=messages_of(sent.messages),
            stop=stop_of(sent),
            arguments={
                **form_arguments(sent),
                **access.allowed(sent),
                "namespace": namespace,
            },
            notes={**(sent.metadata or {}), "key": key.name, "user": sent.user},
        )
        completion = Completion(f"chatcmpl-{asked.run}", sent.model)
        with ExitStack() as held:
            held.enter_context(access.turn(key))
            if not sent.stream:
                answers = await unless_gone(request, asked.answers())
                return JSONResponse(completion.whole(answers))
            call = Listened(asked)
            try:
                await unless_gone(request, call.begun(service.keep_alive))
            except BaseException:
                await call.stop()
                raise
            later = held.pop_all()
        return StreamingResponse(
            _stream(service, sent, completion, call, later), media_type="text/event-stream"
        )

    return router


async def _stream(
    service: Service, sent: ChatRequest, completion: Completion, call: Listened, held: ExitStack
) -> AsyncIterator[str]:
    """Yield a stream's lines; the call stops with it."""
    with held:
        try:
            async for event in call.events(service.keep_alive):
                if event is None:
                    yield _line(completion.chunk([]))
                elif sent.latent_agent.progress:
                    name, details = event
                    yield _line(completion.chunk([], latent_agent={"event": name, **details}))
            answers = await call.answers()
            for delta in completion.deltas(answers):
                yield _line(delta)
            if sent.stream_options and sent.stream_options.include_usage:
                yield _line(completion.usage(answers))
            yield "data: [DONE]\n\n"
        except Exception as error:
            yield _line(api_error(error).body)
        finally:
            await call.stop()


def _line(body: Any) -> str:
    return f"data: {json.dumps(body, ensure_ascii=False, default=str)}\n\n"
