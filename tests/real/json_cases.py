"""Fifteen structured answers: nested, enums, lists, optional fields, and two that are made up."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, Field


class Joke(BaseModel):
    """Joke to tell the user."""

    setup: str
    punchline: str


class Recipe(BaseModel):
    """A recipe."""

    dish: str
    ingredients: list[str]
    minutes: int


class Person(BaseModel):
    """A person."""

    name: str
    age: int


class Address(BaseModel):
    street: str
    city: str


class Customer(BaseModel):
    """A customer of the shop."""

    name: str
    address: Address


class Contact(BaseModel):
    """How to reach somebody."""

    name: str
    phone: str | None = Field(None, description="null if the text gives none")
    email: str | None = Field(None, description="null if the text gives none")


class Review(BaseModel):
    """What a customer thinks of a product."""

    product: str
    sentiment: Literal["positive", "negative", "neutral"]


class Ticket(BaseModel):
    """A request to the support team."""

    topic: Literal["billing", "delivery", "login"]
    urgent: bool


class Shopping(BaseModel):
    """A shopping list."""

    items: list[str] = Field(description="the things to buy, in the order of the text")


class Line(BaseModel):
    product: str
    quantity: int


class Order(BaseModel):
    """An order."""

    customer: str
    lines: list[Line]


class Meeting(BaseModel):
    """A meeting."""

    day: Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    hour: int = Field(ge=0, le=23, description="by the 24-hour clock")
    people: list[str]


class Book(BaseModel):
    """A book."""

    title: str
    author: str
    year: int | None = Field(None, description="null if the text gives none")


@dataclass(frozen=True, kw_only=True)
class JsonCase:
    """A text, the schema to read it into, and what is right.

    Attributes:
        text: What the model is asked; says nothing of the schema.
        schema: A Pydantic class.
        right: All that the object must hold, or what tells whether it is right.
    """

    text: str
    schema: type[BaseModel]
    right: Mapping[str, Any] | Callable[[Mapping[str, Any]], bool]


def _is_joke(value: Mapping[str, Any]) -> bool:
    """Two texts of a length that jokes have, in which no sentence comes twice."""
    texts = value["setup"], value["punchline"]
    sentences = [part.strip() for part in re.split(r"[.!?]", " . ".join(texts)) if part.strip()]
    return all(5 <= len(text) <= 200 for text in texts) and len(set(sentences)) == len(sentences)


def _is_recipe(value: Mapping[str, Any]) -> bool:
    """Pancakes of two to fifteen ingredients, none of them twice."""
    ingredients = value["ingredients"]
    named = "pancake" in value["dish"].casefold() and 1 <= value["minutes"] <= 180
    return named and 2 <= len(set(ingredients)) == len(ingredients) <= 15


JSON_CASES = (
    JsonCase(text="Tell me a joke about cats.", schema=Joke, right=_is_joke),
    JsonCase(text="How do I make pancakes?", schema=Recipe, right=_is_recipe),
    JsonCase(
        text="My grandfather Olaf turned 81 last week.",
        schema=Person,
        right={"name": "Olaf", "age": 81},
    ),
    JsonCase(
        text="Maria Silva lives at 5 Garden Road in Lisbon.",
        schema=Customer,
        right={"name": "Maria Silva", "address": {"street": "5 Garden Road", "city": "Lisbon"}},
    ),
    JsonCase(
        text="You can write to Lena at lena@example.com.",
        schema=Contact,
        right={"name": "Lena", "phone": None, "email": "lena@example.com"},
    ),
    JsonCase(
        text="Call Amir, his number is 555-0142.",
        schema=Contact,
        right={"name": "Amir", "phone": "555-0142", "email": None},
    ),
    JsonCase(
        text="The headphones broke after two days. I want my money back!",
        schema=Review,
        right={"product": "headphones", "sentiment": "negative"},
    ),
    JsonCase(
        text="I love this kettle, it is fast and quiet.",
        schema=Review,
        right={"product": "kettle", "sentiment": "positive"},
    ),
    JsonCase(
        text="I cannot sign in to my account and I need it right now, this is urgent!",
        schema=Ticket,
        right={"topic": "login", "urgent": True},
    ),
    JsonCase(
        text="My parcel has not arrived yet. No hurry.",
        schema=Ticket,
        right={"topic": "delivery", "urgent": False},
    ),
    JsonCase(
        text="We need milk, eggs and bread.",
        schema=Shopping,
        right={"items": ["milk", "eggs", "bread"]},
    ),
    JsonCase(
        text="Ben orders 3 lamps and 2 chairs.",
        schema=Order,
        right={
            "customer": "Ben",
            "lines": [{"product": "lamps", "quantity": 3}, {"product": "chairs", "quantity": 2}],
        },
    ),
    JsonCase(
        text="Ida and Karl meet on Thursday at 15:00.",
        schema=Meeting,
        right={"day": "Thursday", "hour": 15, "people": ["Ida", "Karl"]},
    ),
    JsonCase(
        text="Frankenstein was written by Mary Shelley in 1818.",
        schema=Book,
        right={"title": "Frankenstein", "author": "Mary Shelley", "year": 1818},
    ),
    JsonCase(
        text="I am reading Dune by Frank Herbert.",
        schema=Book,
        right={"title": "Dune", "author": "Frank Herbert", "year": None},
    ),
)
