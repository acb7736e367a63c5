"""Conversations that other models had: what they thought, refused or searched is no media."""

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from latent_agent import ChatLatentSeek
from latent_agent.call.outcome import Outcome
from latent_agent.chat.from_langchain import to_turns
from latent_agent.chat.to_langchain import message_of
from latent_agent.errors import PromptError
from latent_agent.model.conversation import Turn
from latent_agent.model.prompt import encode_chat
from latent_agent.tools.hermes import HERMES
from latent_agent.tools.pieces import split_text
from tests.support.tool_templates import FAMILIES, tool_tokenizer

SAID = {"type": "text", "text": "It is 4."}
THOUGHTS: list[Any] = [
    {"type": "thinking", "thinking": "I add.", "signature": "x"},
    {"type": "reasoning", "reasoning": "I add."},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "I add."}]},
    {"type": "reasoning_content", "reasoning_content": {"text": "I add.", "signature": "x"}},
]
DROPPED: list[Any] = [
    {"type": "redacted_thinking", "data": "xyz"},
    {"type": "reasoning", "id": "rs_1", "summary": []},
    {"type": "reasoning"},
    {"type": "server_tool_call", "name": "web_search", "args": {}, "id": "1"},
    {"type": "server_tool_use", "name": "web_search", "input": {}, "id": "1"},
    {"type": "server_tool_result", "tool_call_id": "1", "status": "success"},
    {"type": "web_search_tool_result", "tool_use_id": "1", "content": []},
    {"type": "web_search_call", "id": "1"},
    {"type": "non_standard", "value": {"type": "container_upload", "file_id": "1"}},
    {"type": "non_standard", "value": {"cachePoint": {"type": "default"}}},
    {"type": "citations", "citations": []},
    {"cachePoint": {"type": "default"}},
    {"type": "invalid_tool_call", "name": "add", "args": "{", "id": "1", "error": "x"},
]
MEDIA = ["image", "image_url", "input_image", "audio", "input_audio", "video", "file", "document"]


def turn(content: Any, kind: type[BaseMessage] = AIMessage, **more: Any) -> Turn:
    return to_turns([HumanMessage("2+2?"), kind(content=content, **more), HumanMessage("Sure?")])[1]


@pytest.mark.parametrize("block", THOUGHTS)
def test_what_another_model_thought_is_a_thought(block: Any) -> None:
    assert turn([block, SAID]) == Turn("assistant", "It is 4.", thought="I add.")


@pytest.mark.parametrize("block", DROPPED)
def test_what_only_its_provider_understands_is_dropped(block: Any) -> None:
    assert turn([block, SAID]) == Turn("assistant", "It is 4.")


def test_a_refusal_and_a_plain_text_are_text() -> None:
    assert turn([{"type": "refusal", "refusal": "I won't."}]).content == "I won't."
    cited = {**SAID, "annotations": [{"type": "citation", "url": "https://example.org"}]}
    assert turn([cited]).content == "It is 4."
    note = {"type": "text-plain", "mime_type": "text/plain", "text": "A note."}
    assert turn([note], HumanMessage).content == "A note."


def test_standard_blocks_of_another_provider_are_read() -> None:
    message = AIMessage(
        content=[{"type": "thinking", "thinking": "I add.", "signature": "x"}, SAID],
        response_metadata={"model_provider": "anthropic"},
    )
    standard: Any = message.content_blocks
    assert [block["type"] for block in standard] == ["reasoning", "text"]
    again = AIMessage(content=standard, response_metadata={"output_version": "v1"})
    turns = to_turns([HumanMessage("2+2?"), again, HumanMessage("Sure?")])
    assert turns[1] == Turn("assistant", "It is 4.", thought="I add.")


@pytest.mark.parametrize("kind", MEDIA)
@pytest.mark.parametrize("message", [HumanMessage, AIMessage, SystemMessage])
def test_media_are_refused_as_such(kind: str, message: type[BaseMessage]) -> None:
    with pytest.raises(PromptError, match=f"block of type '{kind}'; this model reads no images"):
        turn([{"type": kind}], message)
    with pytest.raises(PromptError, match=f"block of type '{kind}'; this model reads no images"):
        turn([{"type": "non_standard", "value": {"type": kind}}], message)


@pytest.mark.parametrize("block", [THOUGHTS[0], *DROPPED[3:6], {"cachePoint": {}}])
def test_nothing_that_a_person_says_is_dropped(block: Any) -> None:
    with pytest.raises(PromptError, match="only an AI message may hold") as caught:
        turn([block, SAID], HumanMessage)
    assert "image" not in str(caught.value)


@pytest.mark.parametrize("family", list(FAMILIES))
def test_our_own_broken_call_comes_back_with_its_error(family: str) -> None:
    tokenizer = tool_tokenizer(family)
    source = '<tool_call>{"name": "add", "arguments": {"a": 1}</tool_call>'
    said = AIMessage(
        content="Let me see.",
        invalid_tool_calls=[{"name": None, "args": source, "id": "abc", "error": "not JSON"}],
    )
    answered = ToolMessage("Error: not JSON. Please fix it.", tool_call_id="abc")
    turns = to_turns([HumanMessage("1+1?"), said, answered])
    assert turns[1:] == [
        Turn("assistant", f"Let me see.\n{source}"),
        Turn("tool", answered.text, call_id="abc"),
    ]
    prompt = str(tokenizer.decode(encode_chat(tokenizer, turns)))
    assert source in prompt
    assert prompt.index(answered.text) > prompt.index(source)


def test_another_models_broken_call_comes_back_with_its_name() -> None:
    broken = [{"name": "add", "args": '{"a": ', "id": "abc", "error": None}]
    assert turn("", invalid_tool_calls=broken).content == 'add {"a": '


def test_a_broken_call_that_a_model_makes_can_be_answered() -> None:
    """What `invoke` returns goes back in as it is."""
    chat = ChatLatentSeek(model="bundled", memory=None, max_iterations=0, max_tokens=4)

    written = '<tool_call>\n{"name": "add", "arguments": {"a": 1}\n</tool_call>'
    text, calls = HERMES.read(split_text(written, HERMES.markers), frozenset({"add"}))
    outcome = Outcome(
        text=text, calls=calls, draft=written, finish="stop", stopped="unjudged",
        forwarded_tokens={}, prompt_tokens=1, answer_tokens=1,
    )  # fmt: skip
    said = message_of(outcome, "bundled", "default")
    (broken,) = said.invalid_tool_calls
    result = ToolMessage(str(broken["error"]), tool_call_id=str(broken["id"]))
    history = [HumanMessage("1+1?"), said, result]
    assert to_turns(history)[1].content == written
    assert isinstance(chat.invoke(history), AIMessage)


def test_a_result_without_a_call_is_refused_still() -> None:
    with pytest.raises(PromptError, match="must answer a call"):
        to_turns([HumanMessage("1+1?"), AIMessage("Hm."), ToolMessage("2", tool_call_id="abc")])
