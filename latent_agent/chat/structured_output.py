"""Answers in JSON that fits a schema, read out of messages; one that was cut off is refused."""

import json
from functools import partial
from operator import itemgetter
from typing import Any, Literal, get_args

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import BaseOutputParser, JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableLambda, RunnableMap, RunnablePassthrough
from langchain_core.utils.pydantic import is_basemodel_subclass

from latent_agent.errors import SettingError
from latent_agent.tools.schema import ANY_OBJECT
from latent_agent.tools.specs import json_schema, tools_from

Method = Literal["json_schema", "function_calling", "json_mode"]


def structured(
    model: BaseChatModel, schema: Any, method: Method, strict: bool | None, **given: Any
) -> tuple[Runnable[LanguageModelInput, AIMessage], BaseOutputParser[Any]]:
    """Return a model whose answers fit a schema, and what reads them.

    Raises:
        SettingError: If method or schema are none that `with_structured_output` takes.
    """
    methods = get_args(Method)
    if method not in methods or (schema is None and method != "json_mode"):
        raise SettingError(
            f"method must be one of {', '.join(methods)}, and only json_mode needs no schema, "
            f"got method={method!r} with schema={schema!r}; for example "
            "with_structured_output(Answer)"
        )
    traced = {"kwargs": {"method": method, "strict": strict}, "schema": schema or ANY_OBJECT}
    given["ls_structured_output_format"] = traced
    typed: Any = schema if isinstance(schema, type) and is_basemodel_subclass(schema) else None
    if method != "function_calling":
        json_format = {"schema": dict(json_schema(schema)), "strict": bool(strict)}
        response_format = {"type": "json_schema", "json_schema": json_format}
        parser = PydanticOutputParser(pydantic_object=typed) if typed else JsonOutputParser()
        return model.bind(response_format=response_format, **given), parser
    (tool,) = tools_from([schema], strict=strict)
    if typed:
        parser = PydanticToolsParser(tools=[typed], first_tool_only=True)
    else:
        parser = JsonOutputKeyToolsParser(key_name=tool.name, first_tool_only=True)
    forced = {"tool_choice": tool.name, "strict": strict, "parallel_tool_calls": False}
    return model.bind_tools([schema or {}], **forced, **given), parser


def parsed(
    model: Runnable[LanguageModelInput, AIMessage], parser: BaseOutputParser[Any], raw: bool
) -> Runnable[LanguageModelInput, Any]:
    """Chain a model with a parser.

    Args:
        model: Answers as the parser wants it.
        parser: Reads the answer.
        raw: Return ``{"raw", "parsed", "parsing_error"}``, and raise nothing.
    """
    # Of a stream it reads the end alone, so that nothing half-made passes.
    read = RunnableLambda(partial(_read, parser))
    if not raw:
        return model | read
    given = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | read, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=model) | given.with_fallbacks([failed], exception_key="parsing_error")


def _read(parser: BaseOutputParser[Any], message: AIMessage) -> Any:
    """Parse a message; one that is cut off must be whole: half an object is not completed."""
    if message.response_metadata.get("finish_reason") != "length":
        return parser.invoke(message)
    try:
        if not message.tool_calls:
            json.loads(message.text)
        answer = None if message.invalid_tool_calls else parser.invoke(message)
    except (OutputParserException, ValueError) as error:
        raise _cut_off(message) from error
    if answer is None:
        raise _cut_off(message)
    return answer


def _cut_off(message: AIMessage) -> OutputParserException:
    written = message.text or next((call["args"] for call in message.invalid_tool_calls), "")
    tokens = (message.usage_metadata or {}).get("output_tokens")
    return OutputParserException(
        "a structured answer must be complete, got one that a limit (max_tokens, timeout or "
        f"max_forwarded_tokens) cut off after {tokens} tokens: {written!r}; raise that limit, or "
        "bound the schema's strings and lists, as by Field(max_length=80)",
        llm_output=written or "",
    )
