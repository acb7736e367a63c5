"""Answers as OpenAI's clients read them."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage

from latent_agent.chat.to_langchain import REASONING

Json = dict[str, Any]


class Answer:
    """What one request is answered, whole or in chunks.

    Args:
        prefix: What its id begins with.
        run: The call's run, which follows; feedback finds the answer by it.
        model: As the request named it.
    """

    def __init__(self, prefix: str, run: UUID, model: str) -> None:
        self._id, self._model, self._created = f"{prefix}{run}", model, int(time.time())

    def whole(self, messages: Sequence[AIMessage]) -> Json:
        """Return the body of an answer at once."""
        choices = [
            {
                "index": at,
                "message": _message(one),
                "logprobs": one.response_metadata.get("logprobs"),
                "finish_reason": one.response_metadata["finish_reason"],
            }
            for at, one in enumerate(messages)
        ]
        return {
            **self._head("chat.completion", choices),
            "usage": usage_of(messages),
            "latent_agent": _own(messages),
        }

    def chunk(self, choices: Sequence[Json], **more: Any) -> Json:
        """Return one chunk."""
        return {**self._head("chat.completion.chunk", choices), **more}

    def piece(self, text: str, *, begins: bool) -> list[Json]:
        """Return a piece of an only answer, while it is written."""
        start = [self.chunk([_choice(0, _START)])] if begins else []
        return [*start, self.chunk([_choice(0, {"content": text})])]

    def deltas(self, messages: Sequence[AIMessage], sent: int = 0) -> Iterator[Json]:
        """Yield the chunks of whole answers.

        Args:
            messages: The answers.
            sent: Characters of an only answer that were sent while it was written.
        """
        for at, one in enumerate(messages):
            for delta in _deltas(one, sent):
                yield self.chunk([{**_choice(at, delta), **_logprobs(one, delta)}])
        ends = [
            _choice(at, {}, one.response_metadata["finish_reason"])
            for at, one in enumerate(messages)
        ]
        yield self.chunk(ends, latent_agent=_own(messages))

    def _head(self, kind: str, choices: Sequence[Json]) -> Json:
        return {
            "id": self._id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "choices": list(choices),
        }


_START = {"role": "assistant", "content": ""}


def usage_of(messages: Sequence[AIMessage]) -> Json:
    """Count the prompt once, and all answers with their thoughts."""
    counted = [one.usage_metadata for one in messages if one.usage_metadata is not None]
    prompt = counted[0]["input_tokens"]
    written = sum(one["output_tokens"] for one in counted)
    thought = sum(one.get("output_token_details", {}).get("reasoning", 0) for one in counted)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


def _choice(at: int, delta: Mapping[str, Any], finish: str | None = None) -> Json:
    return {"index": at, "delta": dict(delta), "finish_reason": finish}


def _deltas(message: AIMessage, sent: int) -> Iterator[Json]:
    whole = _message(message)
    if not sent:
        yield _START
    if thought := whole.get(REASONING):
        yield {REASONING: thought}
    if text := message.text[sent:]:
        yield {"content": text}
    for number, call in enumerate(whole.get("tool_calls", ())):
        yield {"tool_calls": [{"index": number, **call}]}


def _logprobs(message: AIMessage, delta: Json) -> Json:
    likely = message.response_metadata.get("logprobs")
    return {"logprobs": likely} if likely is not None and delta.get("content") else {}


def _own(messages: Sequence[AIMessage]) -> Json:
    """Return what the search did; of more than one answer, the others stand beside the first."""
    first, *others = (one.response_metadata["latent_agent"] for one in messages)
    return {**first, "others": others} if others else first


def _message(message: AIMessage) -> Json:
    calls = _calls(message)
    made: Json = {"role": "assistant", "content": message.text or (None if calls else "")}
    made["refusal"] = None
    if thought := message.additional_kwargs.get(REASONING):
        made[REASONING] = thought
    if calls:
        made["tool_calls"] = calls
    return made


def _calls(message: AIMessage) -> list[Json]:
    """Return a message's calls, those that are no JSON as they were written."""
    whole = [
        (one["id"], one["name"], json.dumps(one["args"], ensure_ascii=False))
        for one in message.tool_calls
    ]
    broken = [(one["id"], one["name"], one["args"]) for one in message.invalid_tool_calls]
    return [
        {
            "id": id,
            "type": "function",
            "function": {"name": name or "", "arguments": arguments or ""},
        }
        for id, name, arguments in (*whole, *broken)
    ]
