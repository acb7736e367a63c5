"""Answers as OpenAI's clients read them."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from langchain_core.messages import AIMessage

from latent_agent.chat.to_langchain import REASONING

Json = dict[str, Any]


class Completion:
    """One answer to a request, whole or in chunks.

    Args:
        id: Of the completion: the call's run, by which feedback finds the answer too.
        model: As the request named it.
    """

    def __init__(self, id: str, model: str) -> None:
        self.id, self._model, self._created = id, model, int(time.time())

    def whole(self, messages: Sequence[AIMessage]) -> Json:
        """Return the body of an answer at once."""
        choices = [
            {
                "index": at,
                "message": _message(one),
                "logprobs": one.response_metadata.get("logprobs"),
                "finish_reason": finish_of(one),
            }
            for at, one in enumerate(messages)
        ]
        return {
            **self._head("chat.completion", choices),
            "usage": usage_of(messages),
            "latent_agent": own_of(messages),
        }

    def chunk(self, choices: Sequence[Json], **more: Any) -> Json:
        """Return one chunk."""
        return {**self._head("chat.completion.chunk", choices), **more}

    def deltas(self, messages: Sequence[AIMessage], sent: int = 0) -> Iterator[Json]:
        """Yield the chunks of whole answers.

        Args:
            messages: The answers.
            sent: Characters of the first one that were sent while it was written.
        """
        for at, one in enumerate(messages):
            if not sent:
                yield self.chunk([choice(at, {"role": "assistant", "content": ""})])
            whole = _message(one)
            if thought := whole.get(REASONING):
                yield self.chunk([choice(at, {REASONING: thought})])
            text, logprobs = one.text[sent:], one.response_metadata.get("logprobs")
            if text or logprobs:
                yield self.chunk([{**choice(at, {"content": text}), "logprobs": logprobs}])
            for number, call in enumerate(whole.get("tool_calls", ())):
                yield self.chunk([choice(at, {"tool_calls": [{"index": number, **call}]})])
            sent = 0
        last = [choice(at, {}, finish_of(one)) for at, one in enumerate(messages)]
        yield self.chunk(last, latent_agent=own_of(messages))

    def usage(self, messages: Sequence[AIMessage]) -> Json:
        """Return the chunk that says what was read and written."""
        return self.chunk([], usage=usage_of(messages))

    def _head(self, kind: str, choices: Sequence[Json]) -> Json:
        return {
            "id": self.id,
            "object": kind,
            "created": self._created,
            "model": self._model,
            "choices": list(choices),
        }


def choice(at: int, delta: Mapping[str, Any], finish: str | None = None) -> Json:
    """Return a piece of one answer."""
    return {"index": at, "delta": dict(delta), "finish_reason": finish}


def finish_of(message: AIMessage) -> str:
    """Return why an answer ended."""
    return message.response_metadata["finish_reason"]


def own_of(messages: Sequence[AIMessage]) -> Json:
    """Return what the search did; of more than one answer, the others stand beside the first."""
    first, *others = (one.response_metadata["latent_agent"] for one in messages)
    return {**first, "others": others} if others else first


def usage_of(messages: Sequence[AIMessage]) -> Json:
    """Count the prompt once, and all answers with their thoughts."""
    counted = [one.usage_metadata for one in messages]
    prompt = counted[0]["input_tokens"] if counted[0] else 0
    written = sum(one["output_tokens"] for one in counted if one)
    thought = sum(one.get("output_token_details", {}).get("reasoning", 0) for one in counted if one)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "completion_tokens_details": {"reasoning_tokens": thought},
    }


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
    whole = [
        (one["id"], one["name"], json.dumps(one["args"], ensure_ascii=False))
        for one in message.tool_calls
    ]
    broken = [(one["id"], one["name"], one["args"]) for one in message.invalid_tool_calls]
    return [
        {"id": id, "type": "function", "function": {"name": name or "", "arguments": arguments}}
        for id, name, arguments in (*whole, *broken)
    ]
