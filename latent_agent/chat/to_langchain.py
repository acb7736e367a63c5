"""An outcome as LangChain messages, chunks and metadata: plain values only."""

import json
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AIMessageChunk, ToolCallChunk
from langchain_core.messages.ai import OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from latent_agent.call.outcome import Outcome

if TYPE_CHECKING:
    from latent_agent.call.log_probabilities import AnswerToken, LikelyToken

_LEAST = -9999.0  # as OpenAI writes what cannot be: JSON knows no infinity
REASONING = "reasoning_content"
"""Where LangChain looks for a thought beside a message's content."""


def _usage(outcome: Outcome) -> UsageMetadata:
    """Count what the user sees: the prompt, and the answer with the thought before it."""
    counted = UsageMetadata(
        input_tokens=outcome.prompt_tokens,
        output_tokens=outcome.answer_tokens,
        total_tokens=outcome.prompt_tokens + outcome.answer_tokens,
    )
    if outcome.thinking_tokens:
        counted["output_token_details"] = OutputTokenDetails(reasoning=outcome.thinking_tokens)
    return counted


def _metadata(outcome: Outcome, model_name: str, recipe: str, missing: int) -> dict[str, Any]:
    """Return the response metadata: LangChain's own keys, and how the answer was made."""
    likely = {} if outcome.likely is None else {"logprobs": _logprobs(outcome.likely)}
    return {
        "model_name": model_name,
        "model_provider": "latent-agent",
        "finish_reason": _finish_reason(outcome),
        **likely,
        "latent_agent": {
            "draft": outcome.draft,
            "recipe": recipe,
            "rewards": [list(rewards) for rewards in outcome.rewards],
            "iterations": outcome.iterations,
            "source": outcome.source,
            "stopped": outcome.stopped,
            "checks": dict(outcome.checks),
            "error": outcome.error,
            "warm_start": {"neighbours": list(outcome.neighbours), "prior": outcome.prior},
            "trace_id": outcome.trace_id,
            "answer_id": outcome.answer_id,
            "memory_error": outcome.memory_error,
            "forwarded_tokens": dict(outcome.forwarded_tokens),
            **({"missing_answers": missing} if missing else {}),
        },
    }


def _logprobs(tokens: "Sequence[AnswerToken]") -> dict[str, Any]:
    """Return log-probabilities in OpenAI's form."""
    content = [
        {**_likely(one.chosen), "top_logprobs": [_likely(other) for other in one.top]}
        for one in tokens
    ]
    return {"content": content, "refusal": None}


def _likely(token: "LikelyToken") -> dict[str, Any]:
    """Return one token; a part of a character has no bytes that its text would tell."""
    known = "\ufffd" not in token.text
    text = list(token.text.encode()) if known else None
    return {"token": token.text, "logprob": max(token.logprob, _LEAST), "bytes": text}


def message_of(outcome: Outcome, model_name: str, recipe: str, missing: int = 0) -> AIMessage:
    """Return the answer as a message; of a thought LangChain makes a reasoning block.

    Args:
        outcome: The answer.
        model_name: The model's name.
        recipe: What the call took from a recipe, in words.
        missing: How many of ``n`` answers nothing was left for.
    """
    return AIMessage(
        content=outcome.text,
        additional_kwargs={REASONING: outcome.thought} if outcome.thought else {},
        # Whether the arguments fit is for the tool to say.
        tool_calls=[
            tool_call(name=call.name or "", args=dict(call.arguments), id=_new_id())
            for call in outcome.calls
            if call.malformed is None
        ],
        invalid_tool_calls=[
            invalid_tool_call(name=call.name, args=call.source, id=_new_id(), error=call.malformed)
            for call in outcome.calls
            if call.malformed is not None
        ],
        usage_metadata=_usage(outcome),
        response_metadata=_metadata(outcome, model_name, recipe, missing),
    )


def draft_chunk(text: str) -> AIMessageChunk:
    """Return a piece of the draft: no content, since it may not become the answer."""
    return AIMessageChunk(content="", additional_kwargs={"draft": text})


def answer_chunks(message: AIMessage) -> Iterator[AIMessageChunk]:
    """Yield thought and answer word by word; calls and all metadata come with the last chunk."""
    for word in _words(message.additional_kwargs.get(REASONING, "")):
        yield AIMessageChunk(content="", additional_kwargs={REASONING: word})
    for word in _words(message.text):
        yield AIMessageChunk(content=word)
    yield AIMessageChunk(
        content="",
        tool_call_chunks=_call_chunks(message),
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
        chunk_position="last",
    )


def _words(text: str) -> list[str]:
    return re.findall(r"\s*\S+|\s+$", text)


def _finish_reason(outcome: Outcome) -> str:
    if outcome.finish != "stop":
        return "length"
    return "tool_calls" if outcome.calls else "stop"


def _call_chunks(message: AIMessage) -> list[ToolCallChunk]:
    """Return a message's calls as chunks, whole ones."""
    whole = [
        (call["name"], json.dumps(call["args"], ensure_ascii=False), call["id"])
        for call in message.tool_calls
    ]
    broken = [(call["name"], call["args"], call["id"]) for call in message.invalid_tool_calls]
    return [
        tool_call_chunk(name=name, args=args, id=number, index=at)
        for at, (name, args, number) in enumerate([*whole, *broken])
    ]


def _new_id() -> str:
    """Return an id of nine letters and digits, as even Mistral's templates take it."""
    return secrets.token_hex(5)[:9]
