"""A JSON schema as a short text of types: ``{"day": "Mon" | "Tue", "people": [string, ...]}``.

Small models follow it better than the schema itself, which takes several times the tokens.
"""

import json
from collections.abc import Mapping
from typing import Any

_JOINTS = {"anyOf": " | ", "oneOf": " | ", "allOf": " & "}


def type_text(schema: Any) -> str:
    """Write a schema's types, with descriptions; what has no short form is ``any``.

    Where a schema refers to itself within itself, it is written once.
    """
    return _described(schema, schema, ())


def _described(schema: Any, root: Any, within: tuple[str, ...]) -> str:
    text = _text(schema, root, within)
    about = schema.get("description") if isinstance(schema, Mapping) else None
    return f"{text} ({about})" if about else text


def _text(schema: Any, root: Any, within: tuple[str, ...]) -> str:
    if not isinstance(schema, Mapping):
        return "any"
    if (reference := schema.get("$ref")) is not None:
        known = {} if reference in within else _referred(str(reference), root)
        return _text(known, root, (*within, reference))
    if "const" in schema or "enum" in schema:
        values = schema["enum"] if "enum" in schema else [schema["const"]]
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in values)
    for key, joint in _JOINTS.items():
        if key in schema:
            return joint.join(_text(part, root, within) for part in schema[key])
    kinds = schema.get("type", "object" if "properties" in schema else "any")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    return " | ".join(_kind(kind, schema, root, within) for kind in kinds)


def _kind(kind: str, schema: Mapping[str, Any], root: Any, within: tuple[str, ...]) -> str:
    if kind == "array":
        return f"[{_text(schema.get('items'), root, within)}, ...]"
    if kind == "object" and "properties" in schema:
        parts = [
            f"{json.dumps(name, ensure_ascii=False)}: {_described(part, root, within)}"
            for name, part in schema["properties"].items()
        ]
        return f"{{{', '.join(parts)}}}"
    return kind


def _referred(reference: str, root: Any) -> Any:
    """Return what a reference within the schema points to; None: nothing."""
    if not reference.startswith("#"):
        return None
    at = root
    for key in reference.split("/")[1:]:
        at = at.get(key.replace("~1", "/").replace("~0", "~")) if isinstance(at, Mapping) else None
    return at
