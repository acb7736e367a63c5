"""An outcome as LangChain messages, chunks and metadata: plain values only."""

import re
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata

from latent_agent.outcome import Outcome


def usage(outcome: Outcome) -> UsageMetadata:
    """Count what the user sees: the prompt and the answer."""
    return UsageMetadata(
        input_tokens=outcome.prompt_tokens,
        output_tokens=outcome.answer_tokens,
        total_tokens=outcome.prompt_tokens + outcome.answer_tokens,
    )


def metadata(outcome: Outcome, model_name: str) -> dict[str, Any]:
    """Return the response metadata: LangChain's own keys, and how the answer came about."""
    return {
        "model_name": model_name,
        "model_provider": "latent-agent",
        "finish_reason": "stop" if outcome.finish == "stop" else "length",
        "latent_agent": {
            "draft": outcome.draft,
            "rewards": list(outcome.rewards),
            "iterations": outcome.iterations,
            "road": outcome.road,
            "stopped": outcome.stopped,
            "checks": dict(outcome.checks),
            "error": outcome.error,
            "warm_start": {"neighbours": list(outcome.neighbours), "prior": outcome.prior},
            "trace_id": outcome.trace_id,
            "memory_error": outcome.memory_error,
            "forwarded_tokens": dict(outcome.forwarded_tokens),
        },
    }


def message_of(outcome: Outcome, model_name: str) -> AIMessage:
    """Return the answer as a message."""
    return AIMessage(
        content=outcome.text,
        usage_metadata=usage(outcome),
        response_metadata=metadata(outcome, model_name),
    )


def draft_chunk(text: str) -> AIMessageChunk:
    """Return a piece of the draft: no content, since it may not become the answer."""
    return AIMessageChunk(content="", additional_kwargs={"draft": text})


def answer_chunks(message: AIMessage) -> Iterator[AIMessageChunk]:
    """Yield an answer word by word; all metadata comes with the last chunk."""
    for word in re.findall(r"\s*\S+|\s+$", message.text):
        yield AIMessageChunk(content=word)
    yield AIMessageChunk(
        content="",
        usage_metadata=message.usage_metadata,
        response_metadata=message.response_metadata,
        chunk_position="last",
    )
