"""Requests as the chat model takes them, and answers as clients read them."""

import json
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from latent_agent import ChatLatentSeek
from latent_agent.model.open_answer import cut_at_stop
from latent_agent.server.answers import Answer
from latent_agent.server.depth import MOST, too_deep
from latent_agent.server.errors import ApiError
from latent_agent.server.live import LiveText
from latent_agent.server.messages import form_arguments, messages_of
from latent_agent.server.requests import ChatRequest, SentMessage

TEXTS = st.text("ab \n", max_size=12)


def request(**given: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "x"}]
    return ChatRequest.model_validate({"model": "m", "messages": messages, **given})


def sent(**given: Any) -> SentMessage:
    return SentMessage.model_validate(given)


def message(**given: Any) -> AIMessage:
    own = {"forwarded_tokens": {}, "trace_id": 1}
    counts = {"input_tokens": 3, "output_tokens": 5, "total_tokens": 8}
    return AIMessage(
        **{"content": "", **given},
        usage_metadata={**counts, "output_token_details": {"reasoning": 2}},
        response_metadata={"finish_reason": "stop", "latent_agent": own},
    )


@given(st.lists(TEXTS, max_size=6), st.lists(TEXTS.filter(bool), max_size=2))
def test_what_is_sent_never_has_to_be_taken_back(pieces: list[str], stop: list[str]) -> None:
    live, text = LiveText(stop), "".join(pieces)
    told = "".join(live.take(piece) for piece in pieces)
    whole = cut_at_stop(text, stop)
    assert whole.startswith(told)
    assert live.sent == len(told)
    if not stop and not text[:1].isspace():
        assert told == text


def test_a_thought_is_told_apart_from_the_answer() -> None:
    answer = Answer("chatcmpl-", uuid4(), "m")
    thought = message(content="Four.", additional_kwargs={"reasoning_content": "2 + 2"})
    (choice,) = answer.whole([thought])["choices"]
    assert choice["message"]["reasoning_content"] == "2 + 2"
    assert choice["message"]["content"] == "Four."
    usage = answer.whole([thought])["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 2}
    deltas = [one["choices"][0]["delta"] for one in answer.deltas([thought])]
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"reasoning_content": "2 + 2"},
        {"content": "Four."},
        {},
    ]


def test_a_call_that_a_limit_cut_off_is_told_as_it_was_written() -> None:
    broken = {"name": "f", "args": '{"a": ', "id": "1", "error": "cut", "type": "invalid_tool_call"}
    whole = {"name": "g", "args": {"b": "ä"}, "id": "2", "type": "tool_call"}
    made = message(invalid_tool_calls=[broken], tool_calls=[whole])
    (choice,) = Answer("", uuid4(), "m").whole([made])["choices"]
    calls = [call["function"] for call in choice["message"]["tool_calls"]]
    assert calls == [
        {"name": "g", "arguments": '{"b": "ä"}'},
        {"name": "f", "arguments": '{"a": '},
    ]
    assert choice["message"]["content"] is None


def test_several_answers_have_their_own_places() -> None:
    answer = Answer("", uuid4(), "m")
    told = answer.whole([message(content="a"), message(content="b")])
    assert [choice["message"]["content"] for choice in told["choices"]] == ["a", "b"]
    assert told["usage"]["prompt_tokens"] == 3
    assert told["usage"]["completion_tokens"] == 10
    assert len(told["latent_agent"]["others"]) == 1
    *_, last = answer.deltas([message(content="a"), message(content="b")])
    assert [choice["index"] for choice in last["choices"]] == [0, 1]


def test_messages_of_every_role_are_read() -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": '{"a": 1}'}}
    cut = {"id": "2", "function": {"name": "f", "arguments": '{"a"'}}
    deep = {"id": "3", "function": {"name": "f", "arguments": '{"a":' * 80 + "1" + "}" * 80}}
    read = messages_of(
        [
            sent(role="developer", content="be brief"),
            sent(role="user", content=[{"type": "text", "text": "hello"}], name="ann"),
            sent(role="assistant", tool_calls=[call, cut, deep], reasoning_content="hm"),
            sent(role="tool", content="4", tool_call_id="1"),
        ]
    )
    system, user, assistant, result = read
    assert isinstance(system, SystemMessage)
    assert isinstance(user, HumanMessage)
    assert user.name == "ann"
    assert isinstance(assistant, AIMessage)
    assert [one["args"] for one in assistant.tool_calls] == [{"a": 1}]
    assert [one["id"] for one in assistant.invalid_tool_calls] == ["2", "3"]
    assert assistant.additional_kwargs["reasoning_content"] == "hm"
    assert isinstance(result, ToolMessage)
    with pytest.raises(ApiError, match="tool_call_id"):
        messages_of([sent(role="tool", content="4")])


def test_arguments_of_a_call() -> None:
    assert form_arguments(request()) == {"n": 1}
    assert form_arguments(request(n=2))["temperature"] == 1.0
    assert form_arguments(request(n=2, temperature=0.3))["temperature"] == 0.3
    assert form_arguments(request(seed=-1))["seed"] == 2**63 - 1
    assert form_arguments(request(store=False))["memory_mode"] == "read"
    assert form_arguments(request(store=True)) == {"n": 1}
    named = {"type": "function", "function": {"name": "f"}}
    made = form_arguments(request(tools=[named], tool_choice=named))
    assert made["tool_choice"] == named
    assert made["tools"][0]["function"]["parameters"] == {"type": "object", "properties": {}}
    schema = {"name": "no tool", "type": "object"}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    made = form_arguments(request(response_format=form))
    assert made["response_format"]["json_schema"]["schema"] == {"type": "object"}


def test_depth_is_counted_in_levels() -> None:
    allowed, beyond = "[" * MOST + "]" * MOST, "[" * (MOST + 2) + "]" * (MOST + 2)
    assert not too_deep(json.loads(allowed))
    assert too_deep(json.loads(beyond))
    assert too_deep({"a": [{"b": json.loads(beyond)}]})
    assert not too_deep([list(range(1000))] * 100)


def test_clients_are_told_of_answers_that_nothing_was_left_for() -> None:
    chat = ChatLatentSeek(model="bundled", memory=None, temperature=1.0, max_iterations=0)
    asked: list[Any] = [HumanMessage("Hello")]
    result = chat.generate([asked], n=3, max_forwarded_tokens=1)
    made: list[Any] = [*result.generations[0]]
    messages = [one.message for one in made]
    answer = Answer("chatcmpl-", uuid4(), "m")
    assert len(messages) == 1
    assert answer.whole(messages)["latent_agent"]["missing_answers"] == 2
    assert list(answer.deltas(messages))[-1]["latent_agent"]["missing_answers"] == 2
