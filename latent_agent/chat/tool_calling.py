"""Tools and structured output: LangChain's ``bind_tools`` and ``with_structured_output``."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langchain_core.tools import BaseTool

from latent_agent.call.answer_format import Form
from latent_agent.chat.generation import GeneratingChatModel
from latent_agent.chat.structured_output import call_parser, parsed, text_parser
from latent_agent.errors import SettingError
from latent_agent.tools.schema import ANY_OBJECT
from latent_agent.tools.specs import check_names, forced_by, json_schema, tools_from

Method = Literal["json_schema", "function_calling", "json_mode"]
_METHODS = ("json_schema", "function_calling", "json_mode")


class ToolCallingChatModel(GeneratingChatModel):
    """A chat model that calls tools, and answers in JSON that fits a schema."""

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        parallel_tool_calls: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Tell the model of tools, by its own chat template.

        Args:
            tools: Functions, ``BaseTool`` objects, Pydantic classes or schemas.
            tool_choice: ``"auto"`` (default): the model calls a tool or answers in text.
                ``"none"``: it is told of none. ``"any"``, ``"required"`` or True: a grammar
                forces it to call one. A tool's name, or OpenAI's dict with it: that one.
            strict: Refuse schemas that the grammar cannot express in full.
            parallel_tool_calls: Whether one answer may make several calls. By default it may
                where nothing is forced, and makes one where a call is.
            kwargs: Other keywords of the call.

        Raises:
            SettingError: If a tool is none, or the choice names none.
        """
        plain = tools_from(tools, strict=strict)
        forced_by(tool_choice, plain)
        given = {"tool_choice": tool_choice, "parallel_tool_calls": parallel_tool_calls, **kwargs}
        told = {name: value for name, value in given.items() if value is not None}
        return self.bind(tools=[dict(tool.spec) for tool in plain], **told)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type | None = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answer in JSON that fits a schema; a grammar sees to it.

        Nothing is added to the prompt: say there what the fields mean.

        Args:
            schema: A Pydantic class (answers are its objects), a TypedDict or a JSON schema.
            method: ``"json_schema"``: the answer's text is the JSON, and is judged like any other
                answer. ``"json_mode"``: the same, and without a schema any JSON object will do.
                ``"function_calling"``: a forced call of one tool, which the chat template must
                know; scored by its validity alone.
            include_raw: Return ``{"raw", "parsed", "parsing_error"}``.
            strict: Refuse a schema that the grammar cannot express in full.
            kwargs: Other keywords of the call.

        Raises:
            SettingError: If method or schema are none of these.
        """
        if method not in _METHODS or (schema is None and method != "json_mode"):
            raise SettingError(
                f"method must be one of {', '.join(_METHODS)}, and only json_mode needs no schema, "
                f"got method={method!r} with schema={schema!r}; for example "
                "with_structured_output(Answer)"
            )
        told = {"kwargs": {"method": method, "strict": strict}, "schema": schema or ANY_OBJECT}
        if method == "function_calling":
            (tool,) = tools_from([schema], strict=strict)
            model = self.bind_tools(
                [schema or {}],
                tool_choice=tool.name,
                strict=strict,
                parallel_tool_calls=False,
                ls_structured_output_format=told,
                **kwargs,
            )
            return parsed(model, call_parser(schema, tool.name), include_raw)
        wanted = {"schema": dict(json_schema(schema)), "strict": bool(strict)}
        model = self.bind(
            response_format={"type": "json_schema", "json_schema": wanted},
            ls_structured_output_format=told,
            **kwargs,
        )
        return parsed(model, text_parser(schema), include_raw)

    def _form(self, given: Mapping[str, Any]) -> Form:
        """Return what form one call's answer is to have, by its keywords."""
        choice = given.get("tool_choice")
        tools = tools_from(given.get("tools") or ())
        forced = forced_by(choice, tools)
        check_names(tools)
        several = given.get("parallel_tool_calls")
        schema, strict = _response_schema(given.get("response_format"))
        return Form(
            tools=() if choice == "none" else tools,
            forced=forced,
            several=not forced if several is None else bool(several),
            schema=schema,
            strict=strict,
        )


def _response_schema(wanted: Any) -> tuple[Mapping[str, Any] | None, bool]:
    """Read OpenAI's ``response_format``."""
    if wanted is None or wanted.get("type") == "text":
        return None, False
    told = wanted.get("json_schema") or {"schema": ANY_OBJECT}
    return json_schema(told["schema"]), bool(told.get("strict"))
