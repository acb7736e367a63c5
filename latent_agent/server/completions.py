"""``/v1/chat/completions``."""

import json
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from langchain_core.messages import AIMessage
from starlette.types import Receive, Scope, Send

from latent_agent.model.thinking import knows_thinking
from latent_agent.server.access import Access
from latent_agent.server.answers import Answer, usage_of
from latent_agent.server.call import TEXT, Asked, Listened, unless_gone
from latent_agent.server.errors import api_error, without_text
from latent_agent.server.feedback import ID
from latent_agent.server.keys import Key, Right
from latent_agent.server.live import LiveText
from latent_agent.server.messages import form_arguments, messages_of, stop_of
from latent_agent.server.metrics import Metrics
from latent_agent.server.requests import ChatRequest
from latent_agent.server.service import Service
from latent_agent.server.turns import Turns
from latent_agent.setting_rules import stop_texts

# pyright: reportUnusedFunction=false
_log = logging.getLogger(__name__)


def completions(service: Service, access: Access, turns: Turns, metrics: Metrics) -> APIRouter:
    """Return the route that answers conversations."""
    router = APIRouter(tags=["chat"])
    asking = access.asker(Right.ASK)

    @router.post("/v1/chat/completions")
    async def complete(
        request: Request, key: Annotated[Key, Depends(asking)], sent: ChatRequest
    ) -> Response:
        """Answer a conversation; ``latent_agent`` says how the answer came about."""
        asked = _asked(service, access, key, sent)
        with ExitStack() as held:
            held.enter_context(turns.turn(key))
            if not sent.stream:
                answers = await unless_gone(request, asked.answers())
                _count(metrics, answers)
                return JSONResponse(Answer(ID, asked.run, sent.model).whole(answers))
            live = LiveText(stop_texts(service.chat.stop if asked.stop is None else asked.stop))
            call = Listened(asked)
            held.callback(call.stop)
            await unless_gone(request, call.begun(service.keep_alive))
            later = held.pop_all()
        lines = _lines(service, metrics, sent, Answer(ID, asked.run, sent.model), call, live)
        return _Stream(lines, later)

    return router


def _asked(service: Service, access: Access, key: Key, sent: ChatRequest) -> Asked:
    """Return what the chat model is asked, once the request may ask it."""
    access.check_model(sent.model)
    namespace = access.namespace(key, sent.latent_agent.namespace)
    allowed = access.allowed(sent)
    return Asked(
        chat=service.chat,
        messages=messages_of(sent.messages),
        stop=stop_of(sent),
        arguments={**form_arguments(sent), **allowed, "namespace": namespace},
        notes={**(sent.metadata or {}), "key": key.name, "user": sent.user},
        thinks=knows_thinking(service.shared.tokenizer),
    )


class _Stream(StreamingResponse):
    """A stream that holds what it needs until its end, whoever ends it, and whenever."""

    def __init__(self, lines: AsyncIterator[str], held: ExitStack) -> None:
        super().__init__(lines, media_type="text/event-stream")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._held:
            await super().__call__(scope, receive, send)


async def _lines(
    service: Service,
    metrics: Metrics,
    sent: ChatRequest,
    answer: Answer,
    call: Listened,
    live: LiveText,
) -> AsyncIterator[str]:
    usage = sent.stream_options
    try:
        async for event in call.events(service.keep_alive):
            for chunk in _told(answer, sent, live, event):
                yield _line(chunk)
        answers = await call.answers()
        _count(metrics, answers)
        for chunk in answer.deltas(answers, live.sent):
            yield _line(chunk)
        if usage is not None and usage.include_usage:
            yield _line(answer.chunk([], usage=usage_of(answers)))
    except Exception as error:
        told = api_error(error)
        metrics.failed_streams.inc()
        if told.status == 500:  # nobody foresaw it
            _log.error("a stream failed: %s", without_text(error))
        yield _line(told.body)
    yield "data: [DONE]\n\n"


def _told(
    answer: Answer, sent: ChatRequest, live: LiveText, event: tuple[str, Any] | None
) -> Sequence[dict[str, Any]]:
    """Return the chunks of an event; None: nothing happened for a while."""
    if event is None:
        return [answer.chunk([])]
    name, details = event
    if name == TEXT:
        begins = live.sent == 0
        text = live.take(details[TEXT])
        return answer.piece(text, begins=begins) if text else []
    if sent.latent_agent.progress:
        return [answer.chunk([], latent_agent={"event": name, **details})]
    return []


def _count(metrics: Metrics, answers: Sequence[AIMessage]) -> None:
    usage = usage_of(answers)
    metrics.tokens.labels("prompt").inc(usage["prompt_tokens"])
    metrics.tokens.labels("answer").inc(usage["completion_tokens"])
    for one in answers:
        for stage, spent in one.response_metadata["latent_agent"]["forwarded_tokens"].items():
            metrics.forwarded.labels(stage).inc(spent)


def _line(body: Any) -> str:
    return f"data: {json.dumps(body, default=str)}\n\n"
