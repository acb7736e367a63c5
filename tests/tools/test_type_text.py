"""Schemas as a prompt tells them: types in short, with descriptions."""

from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from latent_agent.tools.type_text import type_text


class Person(BaseModel):
    name: str
    age: int | None = None


class Trip(BaseModel):
    """A trip."""

    day: Literal["Mon", "Tue"] = Field(description="when it began")
    people: list[Person]
    price: float | bool
    main: Person


def test_a_class() -> None:
    person = '{"name": string, "age": integer | null}'
    assert type_text(Trip.model_json_schema()) == (
        f'{{"day": "Mon" | "Tue" (when it began), "people": [{person}, ...], '
        f'"price": number | boolean, "main": {person}}} (A trip.)'
    )


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "any"),
        (True, "any"),
        ({"type": "object"}, "object"),
        ({"type": "object", "properties": {}}, "{}"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"const": "é"}, '"é"'),
        ({"enum": [1, None, "a"]}, '1 | null | "a"'),
        ({"type": "array"}, "[any, ...]"),
        ({"allOf": [{"type": "string"}, {"minLength": 1}]}, "string & any"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "null"}}}, "null"),
        ({"$ref": "#/$defs/none"}, "any"),
        ({"$ref": "https://example.com/schema"}, "any"),
        ({"properties": {"title": {"type": "string", "title": "T"}}}, '{"title": string}'),
    ],
)
def test_what_a_schema_may_be(schema: Any, text: str) -> None:
    assert type_text(schema) == text


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree = {"type": "object", "properties": {"below": {"type": "array", "items": {"$ref": "#"}}}}
    assert type_text(tree) == '{"below": [{"below": [any, ...]}, ...]}'
    assert type_text({"$ref": "#"}) == "any"
