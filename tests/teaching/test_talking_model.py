"""What the bundled model makes of tools and talks it never met: greedy, and without a grammar."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from dev.bundled_model.measure_talks import draw_talks, is_called, names_tool, replies
from dev.bundled_model.talk import Call, Schema, Talk, plain, schema, user
from latent_agent.teaching import model_path


@cache
def model() -> tuple[Any, Any]:
    lm = AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32).eval()
    return lm, AutoTokenizer.from_pretrained(model_path())


@cache
def held_out() -> tuple[tuple[Talk, str], ...]:
    """Talks with words and wordings that training never saw, and what the model says."""
    talks = draw_talks(400, seed=1, new_words=True, new_wordings=True)
    return tuple(zip(talks, replies(*model(), talks), strict=True))


def share(kinds: Sequence[str], held: Any) -> float:
    rows = [held(talk, reply) for talk, reply in held_out() if talk.kind in kinds]
    assert len(rows) >= 10
    return sum(rows) / len(rows)


@pytest.mark.slow
def test_it_calls_tools_of_names_it_never_met() -> None:
    assert share(["call"], lambda talk, reply: names_tool(talk, reply)) >= 0.55
    assert share(["call"], lambda talk, reply: reply == talk.text) >= 0.25


@pytest.mark.slow
def test_it_calls_when_it_should_and_not_when_it_should_not() -> None:
    assert share(["call"], lambda _, reply: is_called(reply)) >= 0.85
    assert share(["no call"], lambda _, reply: not is_called(reply)) >= 0.9


@pytest.mark.slow
def test_it_says_what_a_tool_gave() -> None:
    assert share(["result"], lambda talk, reply: talk.truth in reply) >= 0.7


@pytest.mark.slow
def test_it_keeps_what_it_was_given() -> None:
    kinds = ["name", "belongings", "fact", "answer before"]
    assert share(kinds, lambda talk, reply: talk.truth in reply) >= 0.7


MAGIC = schema("magic_function", "Apply a magic function to an input.", {"input": "integer"})
WEATHER = schema("get_weather", "Get the weather at a location.", {"location": "string"})


@pytest.mark.parametrize(
    ("text", "tool", "call"),
    [
        ("What is the value of magic_function(3)? Use the tool.", MAGIC,
         Call("magic_function", {"input": 3})),
        ("What is the weather in San Francisco, CA?", WEATHER,
         Call("get_weather", {"location": "San Francisco, CA"})),
    ],
)  # fmt: skip
def test_it_makes_the_calls_of_the_standard_suite(text: str, tool: Schema, call: Call) -> None:
    talk = Talk(kind="call", messages=(user(text),), reply=plain("", [], "x").reply, tools=(tool,))
    assert replies(*model(), [talk]) == [str(call)]
