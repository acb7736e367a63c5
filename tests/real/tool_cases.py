"""Fifteen questions with two or three tools bound: which call each needs, if any."""

from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.tools import tool


@tool
def get_weather(city: str) -> str:
    """Get the current weather in a city."""
    return f"Sunny in {city}."


@tool
def add(a: int, b: int) -> int:
    """Add two whole numbers."""
    return a + b


@tool
def multiply(a: int, b: int) -> int:
    """Multiply two whole numbers."""
    return a * b


@tool
def search_books(author: str, language: str | None = None) -> str:
    """Search a library for books by an author; in one language, such as German, if it is given."""
    return f"Books by {author}, in {language or 'any language'}."


@tool
def set_timer(minutes: int, label: str = "timer") -> str:
    """Start a kitchen timer."""
    return f"{label}: {minutes} minutes."


@tool
def convert_currency(amount: float, source: str, target: str) -> float:
    """Convert an amount between currencies, which are given by three-letter codes."""
    return amount


@tool
def send_email(to: str, subject: str, body: str) -> str:
    """Send an e-mail."""
    return f"Sent to {to}: {subject}, {body}"


@tool
def set_lamp(room: Literal["kitchen", "bedroom", "hall"], on: bool) -> str:
    """Switch a room's lamp on or off."""
    return f"{room}: {on}"


@dataclass(frozen=True, kw_only=True)
class ToolCase:
    """A question, the tools bound, and what the reply must be.

    Attributes:
        text: The question.
        tools: What is bound, unforced.
        call: Name and arguments of the one call needed; None: none is.
    """

    text: str
    tools: tuple[Any, ...]
    call: tuple[str, dict[str, Any]] | None = None


_SUMS = (add, multiply)
_HOME = (set_timer, set_lamp, get_weather)
_OFFICE = (send_email, convert_currency, search_books)

TOOL_CASES = (
    ToolCase(
        text="What is the weather in Oslo right now?",
        tools=(get_weather, add),
        call=("get_weather", {"city": "Oslo"}),
    ),
    ToolCase(
        text="How is the weather in Buenos Aires today?",
        tools=_HOME,
        call=("get_weather", {"city": "Buenos Aires"}),
    ),
    ToolCase(
        text="Use a tool to add 1734 and 2291.",
        tools=_SUMS,
        call=("add", {"a": 1734, "b": 2291}),
    ),
    ToolCase(
        text="What is 48 times 379? Use a tool.",
        tools=_SUMS,
        call=("multiply", {"a": 48, "b": 379}),
    ),
    ToolCase(
        text="Set a timer for 12 minutes, please.",
        tools=_HOME,
        call=("set_timer", {"minutes": 12}),
    ),
    ToolCase(
        text="Start a timer of 7 minutes with the label eggs.",
        tools=_HOME,
        call=("set_timer", {"minutes": 7, "label": "eggs"}),
    ),
    ToolCase(
        text="Turn the lamp in the bedroom off.",
        tools=_HOME,
        call=("set_lamp", {"room": "bedroom", "on": False}),
    ),
    ToolCase(
        text="Switch on the kitchen lamp.",
        tools=(set_lamp, set_timer),
        call=("set_lamp", {"room": "kitchen", "on": True}),
    ),
    ToolCase(
        text="Convert 250 USD to EUR.",
        tools=_OFFICE,
        call=("convert_currency", {"amount": 250, "source": "USD", "target": "EUR"}),
    ),
    ToolCase(
        text="Search the library for books by Selma Lagerlöf.",
        tools=_OFFICE,
        call=("search_books", {"author": "Selma Lagerlöf", "language": None}),
    ),
    ToolCase(
        text="Find books by Jules Verne in French.",
        tools=(search_books, get_weather),
        call=("search_books", {"author": "Jules Verne", "language": "French"}),
    ),
    ToolCase(
        text="Send an e-mail to ann@example.com, subject Lunch, with the body See you at noon.",
        tools=_OFFICE,
        call=(
            "send_email",
            {"to": "ann@example.com", "subject": "Lunch", "body": "See you at noon."},
        ),
    ),
    ToolCase(text="Hello, who are you?", tools=(get_weather, add)),
    ToolCase(text="What is the capital of France?", tools=_SUMS),
    ToolCase(text="Write one sentence about the sea.", tools=_OFFICE),
)
