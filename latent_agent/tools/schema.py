"""JSON schemas: as a grammar writes them, and what does not fit one."""

import json
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator, SchemaError
from referencing.exceptions import Unresolvable

from latent_agent.errors import SettingError

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


def schema_rule(schema: Mapping[str, Any], *, strict: bool = False) -> str:
    """Return a JSON schema as it stands in a Lark grammar.

    JSON comes on one line, with at most one space after a comma or a colon: a model that may write
    blanks without end, does. What the grammar cannot express (``uniqueItems``, an unknown format)
    is left out of it, unless ``strict``.
    """
    options = {
        "whitespace_flexible": False,
        "item_separator": ", ?",
        "key_separator": ": ?",
        "coerce_one_of": True,
        "lenient": not strict,
    }
    return f"%json {json.dumps({**closed(schema), 'x-guidance': options}, ensure_ascii=False)}"


def closed(schema: Any) -> Any:
    """Close what a model could go on with for ever, where the schema leaves it open.

    Objects that name their properties have no others, and integers stay within the range in which
    all readers of JSON agree.
    """
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, Mapping):
        return schema
    made = {key: closed(part) for key, part in schema.items() if key not in _VALUES}
    made |= {key: schema[key] for key in _VALUES if key in schema}
    kind = schema.get("type")
    if kind == "object" and isinstance(schema.get("properties"), Mapping):
        made.setdefault("additionalProperties", False)
    if kind == "integer" or (isinstance(kind, list) and "integer" in kind):
        limits = [schema[key] for key in _LIMITS if key in schema]
        if all(abs(limit) <= _LARGEST for limit in limits):
            made = {"minimum": -_LARGEST, "maximum": _LARGEST, **made}
    return made


_LARGEST = 2**53 - 1
_LIMITS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
_VALUES = ("const", "default", "enum", "examples")
"""Keywords whose values are no schemas."""


def check_schema(schema: Mapping[str, Any], name: str) -> None:
    """Refuse what is no JSON schema.

    Raises:
        SettingError: Says what is wrong.
    """
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise SettingError(
            f"the schema of {name!r} must be a JSON schema, got {schema!r} ({error.message}); fix "
            "it, or give a Pydantic class"
        ) from error


def misfit(value: Any, schema: Mapping[str, Any]) -> str | None:
    """Return how a value breaks a schema; None: it does not."""
    try:
        error = next(Draft202012Validator(schema).iter_errors(value), None)
    except Unresolvable as missing:
        return f"the schema refers to what is not there: {missing}"
    if error is None:
        return None
    place = "/".join(str(part) for part in error.absolute_path)
    return f"{error.message} at {place!r}" if place else error.message
