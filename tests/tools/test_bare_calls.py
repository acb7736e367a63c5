"""Calls without markers: a reply that is nothing but a call of a bound tool is one."""

import json
from typing import Any

import pytest
import torch
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_core.tools import tool

from latent_agent import ChatLatentSeek
from latent_agent.call.answer_format import Form
from latent_agent.chat.from_langchain import to_turns
from latent_agent.model.registry import open_model
from latent_agent.tools.call import calls_from
from latent_agent.tools.specs import tools_from
from tests.support.tool_templates import FAMILIES, tool_model, tool_tokenizer

PLAIN = (
    "{%- for message in messages -%}{{- message['role'] + ': ' + message['content'] + '\\n' -}}"
    "{%- endfor -%}"
)


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@tool
def stop() -> None:
    """Stop."""


TOOLS = tools_from([add, stop])
CALL = '{"name": "add", "arguments": {"a": 1, "b": 2}}'
STOP = '{"name": "stop", "arguments": {}}'


@pytest.fixture(scope="module", params=FAMILIES)
def engine(request):
    tokenizer = tool_tokenizer(request.param)
    return open_model(tool_model(tokenizer), tokenizer).engine()


def read(engine: Any, text: str, **form: Any) -> tuple[str, list[Any]]:
    ids = engine.tokenizer.encode(text, add_special_tokens=False)
    outside, calls = Form(tools=TOOLS, **form).reader(engine)(ids, text)
    assert all(call.valid for call in calls)
    return outside, [(call.name, call.arguments) for call in calls]


ADDED, STOPPED = ("add", {"a": 1, "b": 2}), ("stop", {})


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        (CALL, [ADDED]),
        (f"\n {CALL}\n", [ADDED]),
        (json.dumps(json.loads(CALL), indent=2), [ADDED]),
        (CALL.replace("arguments", "parameters"), [ADDED]),
        (f"```json\n{CALL}\n```", [ADDED]),
        (f"```\n{CALL}\n```\n", [ADDED]),
        (f"[{CALL}, {STOP}]", [ADDED, STOPPED]),
        (f"```json\n[\n{CALL},\n{STOP}\n]\n```", [ADDED, STOPPED]),
        (f"{CALL}\n{STOP}", [ADDED, STOPPED]),
        (f"```json\n{CALL}\n```\n\n```json\n{STOP}\n```", [ADDED, STOPPED]),
        ('{"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}', [ADDED]),
    ],
)
def test_a_reply_that_is_nothing_but_calls_is_calls(engine, text, calls):
    assert read(engine, text) == ("", calls)
    assert read(engine, text, several=False) == ("", calls[:1])


@pytest.mark.parametrize(
    "text",
    [
        f"So: {CALL}",
        f"```json\n{CALL}\n```\nThis adds them.",
        f"Call it:\n```json\n{CALL}\n```",
        f'[{CALL}, "and more"]',
        "[]",
        "",
        "```json\n```",
        '{"a": 1, "b": 2}',
        '{"title": "add", "arguments": {"a": 1, "b": 2}}',
        "[" * 100_000,
    ],
)
def test_anything_else_stays_text(engine, text):
    assert read(engine, text) == (text, [])


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "llama"])
@pytest.mark.parametrize(
    "text",
    [
        '{"name": "add"}',
        CALL.replace("add", "multiply"),
        CALL.replace("1", '"one"'),
        CALL.replace('"a": 1, ', ""),
        CALL[:-1] + ', "reason": "because"}',
        CALL[:-3],
        f"{CALL}, {STOP}",
        f"[{CALL}, {CALL.replace('1', 'null')}]",
    ],
)
def test_a_call_that_fits_no_tool_is_text(family, text):
    tokenizer = tool_tokenizer(family)
    model = open_model(tool_model(tokenizer), tokenizer)
    assert read(model.engine(), text) == (text, [])


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "llama"])
def test_json_that_was_asked_for_is_no_call(family):
    tokenizer = tool_tokenizer(family)
    model = open_model(tool_model(tokenizer), tokenizer)
    assert read(model.engine(), CALL, schema={"type": "object"}) == (CALL, [])


def test_one_after_another_until_what_is_none():
    first, broken = calls_from(f"{CALL}; {STOP[:-1]}", "arguments", "<tag>")
    assert (first.name, first.source) == ("add", f"<tag>{CALL}")
    assert broken.source == f"<tag>{STOP[:-1]}"
    assert "not JSON" in (broken.malformed or "")
    (deep,) = calls_from("[" * 100_000, "arguments")
    assert "nested too deep" in (deep.malformed or "")


# ------------------------------------------------------------------------ templates without tools


def plain_tokenizer() -> Any:
    tokenizer = tool_tokenizer("hermes")
    tokenizer.chat_template = PLAIN
    return tokenizer


@pytest.fixture(scope="module")
def untaught() -> ChatLatentSeek:
    """A model whose template knows no tools."""
    return ChatLatentSeek(
        model="bundled", tokenizer=plain_tokenizer(), memory=None, max_tokens=150, max_iterations=0
    )


@pytest.mark.parametrize("choice", ["add", "any"])
def test_a_forced_call_needs_no_template(untaught, choice):
    message = untaught.bind_tools([add], tool_choice=choice).invoke("What is 1 + 2?")
    (call,) = message.tool_calls
    assert call["name"] == "add"
    assert set(call["args"]) == {"a", "b"}
    assert message.text == ""
    assert message.response_metadata["finish_reason"] == "tool_calls"


def test_several_forced_calls_follow_one_another(untaught):
    form = Form(tools=TOOLS, forced=TOOLS, several=True)
    engine = untaught._shared_model().engine()
    ids = engine.tokenizer.encode(f"{CALL}\n{STOP}")
    logits = torch.zeros(engine.vocabulary)
    constraint = form.constraint(engine)
    for at, token in enumerate(ids):
        assert constraint.mask(logits, ids[:at])[token] == logits[token]
    assert [call.name for call in form.reader(engine)(ids, "")[1]] == ["add", "stop"]


def test_a_forced_call_that_is_cut_off_is_invalid(untaught):
    message = untaught.bind_tools([add], tool_choice="add", max_tokens=8).invoke("Hi")
    assert message.tool_calls == []
    assert message.invalid_tool_calls[0]["error"]


def test_forced_tools_are_told_in_the_prompt_where_the_template_tells_of_none():
    turns = to_turns([SystemMessage("Be brief."), HumanMessage("What is 1 + 2?")])
    form = Form(tools=TOOLS, forced=TOOLS[:1])
    told, tools = form.told(plain_tokenizer(), turns)
    assert tools == ()
    assert told[0].content.startswith("Be brief.\n\nCall this function")
    assert '"Add two numbers."' in told[0].content
    assert "Stop." not in told[0].content
    assert told[1:] == turns[1:]
    assert form.told(tool_tokenizer("hermes"), turns) == (turns, TOOLS)


def test_a_way_to_write_calls_that_is_not_known_is_no_hindrance():
    odd = tool_tokenizer("hermes")
    odd.chat_template = odd.chat_template.replace("<tool_call>", "<call>")
    chat = ChatLatentSeek(model="bundled", tokenizer=odd, memory=None, max_iterations=0)
    message = chat.bind_tools([add], tool_choice="add").invoke("What is 1 + 2?")
    assert message.tool_calls[0]["name"] == "add"
