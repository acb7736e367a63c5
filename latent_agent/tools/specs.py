"""Tools and schemas as LangChain users give them, to plain values."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from latent_agent.errors import SettingError
from latent_agent.tools.call import Tool
from latent_agent.tools.schema import ANY_OBJECT, check_schema


def tools_from(given: Sequence[Any], *, strict: bool | None = None) -> tuple[Tool, ...]:
    """Turn tools of all kinds that LangChain knows into plain ones.

    Raises:
        SettingError: If one is no function, or has no JSON schema.
    """
    return tuple(_tool(one, strict) for one in given)


def check_names(tools: Sequence[Tool]) -> None:
    """Refuse tools that share a name.

    Raises:
        SettingError: If two do.
    """
    names = [tool.name for tool in tools]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SettingError(
            f"tools must have names of their own, got {twice[0]!r} twice; rename or drop one"
        )


def _tool(given: Any, strict: bool | None) -> Tool:
    try:
        spec = convert_to_openai_tool(given, strict=strict)
    except (ValueError, TypeError) as error:
        raise SettingError(
            f"a tool must be a function, a BaseTool, a Pydantic class or a schema, got {given!r} "
            f"({error}); for example a function under @tool"
        ) from error
    if spec.get("type") != "function" or "function" not in spec:
        raise SettingError(
            f"a tool must be a function, got {spec!r}; a local model has no built-in tools"
        )
    tool = Tool(name=spec["function"]["name"], spec=spec)
    check_schema(tool.parameters, tool.name)
    return tool


def forced_by(choice: Any, tools: Sequence[Tool]) -> tuple[Tool, ...]:
    """Return the tools one of which a choice forces; none for ``auto``.

    Raises:
        SettingError: If the choice names no tool.
    """
    if choice in (None, False, "auto", "none"):
        return ()
    if choice is True or choice in ("any", "required"):
        return tuple(tools)
    wanted: Any = choice
    if isinstance(choice, Mapping):
        function: Any = choice.get("function", choice)
        wanted = function.get("name") if isinstance(function, Mapping) else None
    forced = tuple(tool for tool in tools if tool.name == wanted)
    if not forced:
        raise SettingError(
            "tool_choice must be 'auto', 'none', 'any' or one of the tools "
            f"{[tool.name for tool in tools]}, got {choice!r}; bind the tool, or fix the name"
        )
    return forced


def json_schema(schema: Any) -> Mapping[str, Any]:
    """Return the JSON schema of a Pydantic class, a TypedDict, a tool's spec or a JSON schema.

    Raises:
        SettingError: If it has none.
    """
    if schema is None:
        return ANY_OBJECT
    given: Any = schema  # as no check narrows it
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        made = given.model_json_schema() if hasattr(given, "model_json_schema") else given.schema()
    elif isinstance(schema, Mapping) and not {"function", "name"} & schema.keys():
        made = dict(schema)
    else:
        try:
            made = convert_to_json_schema(given)
        except (ValueError, TypeError) as error:
            raise SettingError(
                "schema must be a Pydantic class, a TypedDict or a JSON schema, got "
                f"{schema!r} ({error}); for example a class Answer(BaseModel)"
            ) from error
    check_schema(made, made.get("title", "structured output"))
    return made
