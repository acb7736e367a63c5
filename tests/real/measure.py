"""How many tool calls and structured answers of a model are valid, and how many right."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage
from langchain_core.utils.function_calling import convert_to_openai_tool

from latent_agent import ChatLatentSeek
from tests.real.json_cases import JSON_CASES, JsonCase
from tests.real.tool_cases import TOOL_CASES, ToolCase


@dataclass(frozen=True)
class Row:
    """One case: what came of it, whether its form holds, and whether it is right."""

    text: str
    got: str
    valid: bool
    right: bool


def called(chat: ChatLatentSeek) -> list[Row]:
    """Ask the questions with tools bound; nothing is forced."""
    return [_called(chat, case) for case in TOOL_CASES]


def structured(chat: ChatLatentSeek, **given: Any) -> list[Row]:
    """Read the texts into their schemas; ``given`` goes to `with_structured_output`."""
    return [_structured(chat, case, **given) for case in JSON_CASES]


def table(rows: Sequence[Row]) -> str:
    """One line a case, and the counts."""
    counts = f"valid {sum(row.valid for row in rows)}, right {sum(row.right for row in rows)}"
    lines = [
        f"{'valid' if row.valid else 'BROKEN'} {'right' if row.right else 'WRONG'}: "
        f"{row.text} -> {row.got}"
        for row in rows
    ]
    return "\n".join([*lines, f"{counts} of {len(rows)}"])


def _called(chat: ChatLatentSeek, case: ToolCase) -> Row:
    message = chat.bind_tools(case.tools).invoke(case.text)
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    if case.call is None:
        fits = not calls and not message.invalid_tool_calls and bool(message.text.strip())
        return Row(case.text, _said(message), fits, fits)
    fits = len(calls) == 1 and not message.invalid_tool_calls and _fits(case, *calls[0])
    return Row(case.text, _said(message), fits, fits and _same(calls[0], case.call))


def _said(message: AIMessage) -> str:
    calls = [(call["name"], call["args"]) for call in message.tool_calls]
    return repr(calls or message.invalid_tool_calls or message.text)


def _fits(case: ToolCase, name: str, arguments: Any) -> bool:
    schemas = {tool.name: convert_to_openai_tool(tool)["function"] for tool in case.tools}
    known = schemas.get(name)
    return known is not None and Draft202012Validator(known["parameters"]).is_valid(arguments)


def _structured(chat: ChatLatentSeek, case: JsonCase, **given: Any) -> Row:
    answer = chat.with_structured_output(case.schema, include_raw=True, **given)
    told: Any = answer.invoke(case.text)
    if told["parsed"] is None:
        return Row(case.text, str(told["parsing_error"])[:300], valid=False, right=False)
    value = told["parsed"].model_dump()
    right = case.right(value) if callable(case.right) else _same(value, case.right)
    return Row(case.text, repr(value), valid=True, right=right)


def _same(got: Any, right: Any) -> bool:
    """Compare; the case of letters, a full stop at the end and blanks around make no difference.

    Arguments and fields that have a default, and are not asked for, may be left out or given.
    """
    match right, got:
        case dict(), dict():
            return all(_same(got.get(key), value) for key, value in right.items())
        case ((list() | tuple()), (list() | tuple())):
            return len(got) == len(right) and all(map(_same, got, right))
        case str(), str():
            return _plain(got) == _plain(right)
    if isinstance(right, bool) or right is None:
        return got is right
    return not isinstance(got, bool) and got == right


def _plain(text: str) -> str:
    return text.strip().rstrip(".").casefold()
