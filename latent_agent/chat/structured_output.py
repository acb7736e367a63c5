"""Structured answers out of messages, and what is told where one was cut off."""

import json
from operator import itemgetter
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.pydantic import is_basemodel_subclass


def parsed(
    model: Runnable[LanguageModelInput, AIMessage], parser: BaseOutputParser[Any], raw: bool
) -> Runnable[LanguageModelInput, Any]:
    """Chain a model with a parser.

    Args:
        model: Answers as the parser wants it.
        parser: Reads the answer.
        raw: Return ``{"raw", "parsed", "parsing_error"}``, and raise nothing.
    """
    read = RunnableLambda(_Reading(parser))
    if not raw:
        return model | read
    given = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | read, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | given.with_fallbacks([failed], exception_key="parsing_error")


def text_parser(schema: Any) -> BaseOutputParser[Any]:
    """Return what reads an answer whose text is JSON."""
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return PydanticOutputParser(pydantic_object=schema)
    return JsonOutputParser()


def call_parser(schema: Any, name: str) -> BaseOutputParser[Any]:
    """Return what reads the arguments of an answer's first tool call."""
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return PydanticToolsParser(tools=[schema], first_tool_only=True)
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


class _Reading:
    """Parses a message; a stream is read at its end, so that nothing half-made passes."""

    def __init__(self, parser: BaseOutputParser[Any]) -> None:
        self._parser = parser

    def __call__(self, message: AIMessage) -> Any:
        if message.response_metadata.get("finish_reason") != "length":
            return self._parser.invoke(message)
        try:
            found = None if message.invalid_tool_calls else self._strictly(message)
        except (OutputParserException, ValueError) as error:
            raise _cut_off(message) from error
        if found is None:
            raise _cut_off(message)
        return found

    def _strictly(self, message: AIMessage) -> Any:
        """Parse what may be cut off: half an object must not be fixed to a whole one."""
        if not message.tool_calls:
            json.loads(message.text)
        return self._parser.invoke(message)


def _cut_off(message: AIMessage) -> OutputParserException:
    written = message.text or next((call["args"] for call in message.invalid_tool_calls), "")
    tokens = (message.usage_metadata or {}).get("output_tokens")
    return OutputParserException(
        "a structured answer must be complete, got one that a limit (max_tokens, timeout or "
        f"max_forwarded_tokens) cut off after {tokens} tokens: {written!r}; raise max_tokens, "
        "or ask for a smaller schema",
        llm_output=written or "",
    )
