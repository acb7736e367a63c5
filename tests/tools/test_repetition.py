"""A grammar's strings and lists end, also where the model would go round in circles."""

import json
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from latent_agent import ChatLatentSeek
from latent_agent.call.answer_format import Form
from latent_agent.model.registry import open_model
from latent_agent.tools.repetition import SIZE, TIMES, circles, unfinished
from tests.support.tiny import tiny_model, tiny_tokenizer

WORDS = "He is like a superhero, but not as strong. "


def schema(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}


TEXT, LIST = {"type": "string"}, {"type": "array", "items": {"type": "string"}}


@pytest.fixture(scope="module")
def engine():
    return open_model("bundled").engine()


def following(engine: Any, schema: Any, text: str) -> set[str]:
    """The tokens that may follow a beginning."""
    ids = engine.tokenizer.encode(text, add_special_tokens=False)
    constraint = Form(schema=schema).constraint(engine)
    mask = constraint.mask(torch.zeros(engine.vocabulary), ids)
    again = Form(schema=schema).constraint(engine)
    for length in (3, len(ids) - 2, len(ids)):  # whatever it was asked before
        told = again.mask(torch.zeros(engine.vocabulary), ids[:length])
    assert torch.equal(mask, told)
    return {engine.tokenizer.decode([id]) for id in torch.isfinite(mask).nonzero().flatten()}


def test_a_string_that_goes_round_is_closed(engine):
    start = '{"text": "A cat: -' + WORDS * (TIMES - 1)
    assert len(following(engine, schema(text=TEXT), start)) > 100
    assert len(following(engine, schema(text=TEXT), start + WORDS[:-1])) > 100
    closing = following(engine, schema(text=TEXT), start + WORDS)
    assert closing
    assert all(token.startswith('"') for token in closing)


@pytest.mark.parametrize("end", ["\\", "\\\\\\"])
def test_a_quote_that_ends_no_string_closes_none(engine, end):
    start = '{"text": "' + ("n" + end) * SIZE
    assert "n" in following(engine, schema(text=TEXT), start)


def test_a_string_that_may_not_end_goes_on(engine):
    long = {"type": "string", "minLength": 500}
    start = '{"text": "' + WORDS * TIMES
    assert len(following(engine, schema(text=long), start)) > 100


def test_a_list_that_goes_round_is_closed(engine):
    items = ", ".join(['"flour of wheat", "a pinch of salt"'] * TIMES)
    start = f'{{"list": [{items}'
    assert following(engine, schema(list=LIST), start) == {"]"}
    # Begun again, the item is ended before the comma is.
    again = following(engine, schema(list=LIST), f'{start}, "fl')
    assert '"' in again
    assert not any('",' in token for token in again)
    fewer = ", ".join(['"flour of wheat", "a pinch of salt"'] * (TIMES - 1))
    assert "," in following(engine, schema(list=LIST), f'{{"list": [{fewer}')


def test_a_list_of_a_least_length_goes_on(engine):
    long = {**LIST, "minItems": 100}
    items = ", ".join(['"flour of wheat", "a pinch of salt"'] * TIMES)
    assert "," in following(engine, schema(list=long), f'{{"list": [{items}')


def test_a_model_that_only_repeats_comes_to_an_end():
    model = tiny_model()
    for weight in model.parameters():
        torch.nn.init.zeros_(weight)  # all tokens are as likely: the first that may follow is taken
    chat = ChatLatentSeek(
        model=model, tokenizer=tiny_tokenizer(), memory=None, max_iterations=0, max_tokens=300
    )
    told = chat.with_structured_output(schema(first=TEXT, second=LIST), include_raw=True)
    raw = told.invoke("Hi.")["raw"]
    assert raw.response_metadata["finish_reason"] == "stop"
    made = json.loads(raw.text)
    assert SIZE <= len(made["first"]) <= SIZE + 5


@given(st.binary(max_size=8), st.binary(min_size=1, max_size=40), st.integers(1, 9))
def test_a_circle_is_the_same_often_enough(before, stretch, times):
    long_enough = times >= TIMES and times * len(stretch) >= SIZE
    if long_enough:
        assert circles(before + stretch * times)
    if circles(before + stretch * times):
        text = before + stretch * times
        assert any(
            text.endswith(text[-period:] * max(TIMES, -(-SIZE // period)))
            for period in range(1, len(text))
        )


def test_what_is_written_once_is_no_circle():
    poem = b"Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily."
    assert not circles(poem)
    assert not circles([b"1", b"0", b"0", b"0"])
    assert not circles([b'"salt"'] * 5)
    assert circles([b'"salt"'] * 10)
    assert circles(b"=" * SIZE)
    assert not circles(b"=" * (SIZE - 1))


@given(st.recursive(st.text() | st.integers() | st.none(), lambda part: st.lists(part) |
                    st.dictionaries(st.text(), part)))  # fmt: skip
def test_whole_json_has_nothing_open(value):
    at = unfinished(json.dumps({"value": value}, ensure_ascii=False).encode())
    assert (at.string, at.lists, at.item) == (None, [], None)


@pytest.mark.parametrize(
    ("text", "string", "lists", "item"),
    [
        ('<tool_call>\n{"name": "a b', b"a b", [], None),
        ('{"a": ["x, [", 2, "\\"', b'\\"', [[b'"x, ["', b"2"]], None),
        ('{"a": ["x", {"b": [1, 2', None, [[b'"x"'], [b"1"]], b"2"),
        ('{"a": [{"b": 1}, {"b": 2', None, [[b'{"b": 1}']], None),
        ('{"a": [{"b": 1}, {"b": 2}', None, [[b'{"b": 1}']], b'{"b": 2}'),
        ('[TOOL_CALLS][{"a": ""', None, [[]], None),
    ],
)
def test_what_is_open(text, string, lists, item):
    at = unfinished(text.encode())
    assert (at.string, at.lists, at.item) == (string, lists, item)
