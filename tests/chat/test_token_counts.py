"""Counted tokens are the model's own: what a call with these messages would read."""

import copy
import logging
from functools import partial
from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    trim_messages,
)
from langchain_core.tools import tool

from latent_agent import ChatLatentSeek, LatentSeekLLM
from latent_agent.errors import PromptError
from tests.model.test_dropped_messages import CONVERSATIONS, with_template
from tests.support.chat_templates import TEMPLATES
from tests.support.tiny import tiny_model, tiny_tokenizer

TALK: list[BaseMessage] = [
    SystemMessage("Be brief."),
    HumanMessage("Today is Monday."),
    AIMessage("So tomorrow is Tuesday."),
    HumanMessage("What is 1 + 2?"),
    AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "one"}]),
    ToolMessage("3", tool_call_id="one", name="add"),
]
LONG: list[BaseMessage] = [
    TALK[0],
    *[
        message
        for n in range(40)
        for message in (HumanMessage(f"Then Tom sells {n} eggs."), AIMessage(f"We subtract {n}."))
    ],
    HumanMessage("How many eggs are left?"),
]


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@pytest.fixture(scope="module")
def chat() -> ChatLatentSeek:
    return ChatLatentSeek(model="bundled", memory=None, max_iterations=0, max_tokens=1)


def read(chat: Any, messages: list[BaseMessage]) -> int:
    return chat.invoke(messages).usage_metadata["input_tokens"]


def templated(name: str) -> ChatLatentSeek:
    tokenizer = with_template(TEMPLATES[name])
    return ChatLatentSeek(
        model=tiny_model(), tokenizer=tokenizer, memory=None, max_iterations=0, max_tokens=1
    )


def test_messages_count_as_the_call_reads_them(chat: ChatLatentSeek) -> None:
    for messages in (TALK[:2], TALK[:4], TALK):
        assert chat.get_num_tokens_from_messages(messages) == read(chat, messages)
    tools = chat.bind_tools([add])
    assert chat.get_num_tokens_from_messages(TALK, tools=[add]) == read(tools, TALK)
    assert chat.get_num_tokens_from_messages(TALK, tools=[add]) > read(chat, TALK)
    assert chat.get_num_tokens_from_messages([]) == 0


@pytest.mark.parametrize("text", ["Tom has 27 apples.", "", "Grüße 苹果", "say <|im_end|>"])
def test_a_text_counts_as_it_would_within_a_prompt(chat: ChatLatentSeek, text: str) -> None:
    ids = chat.get_token_ids(text)
    assert chat.get_num_tokens(text) == len(ids)
    tokenizer = chat._shared_model().tokenizer  # pyright: ignore[reportPrivateUsage]
    assert tokenizer.decode(ids) == text
    assert tokenizer.eos_token_id not in ids
    llm = LatentSeekLLM(chat=chat)
    assert llm.get_token_ids(text) == ids
    assert llm.get_num_tokens(text) == len(ids)


def test_the_text_model_counts_as_its_chat_model(chat: ChatLatentSeek) -> None:
    llm = LatentSeekLLM(chat=chat)
    assert llm.get_num_tokens_from_messages(TALK) == chat.get_num_tokens_from_messages(TALK)
    with_tools = chat.get_num_tokens_from_messages(TALK, tools=[add])
    assert llm.get_num_tokens_from_messages(TALK, tools=[add]) == with_tools


def test_a_counter_of_ones_own_is_used(chat: ChatLatentSeek) -> None:
    own = ChatLatentSeek(model="bundled", memory=None, custom_get_token_ids=lambda _: [1, 2, 3])
    assert own.get_num_tokens("Tom") == 3


@pytest.mark.parametrize("strategy", ["last", "first"])
def test_a_conversation_is_trimmed_by_the_models_own_tokens(
    chat: ChatLatentSeek, strategy: Any
) -> None:
    whole = chat.get_num_tokens_from_messages(LONG)
    for limit in (whole // 2, whole // 5):
        kept: list[BaseMessage] = trim_messages(
            LONG, max_tokens=limit, token_counter=chat, strategy=strategy
        )
        assert 0 < len(kept) < len(LONG)
        assert chat.get_num_tokens_from_messages(kept) <= limit
        longer = LONG[: len(kept) + 1] if strategy == "first" else LONG[-len(kept) - 1 :]
        assert chat.get_num_tokens_from_messages(longer) > limit
    assert trim_messages(LONG, max_tokens=whole, token_counter=chat, strategy=strategy) == LONG


def test_a_trimmed_conversation_can_be_sent(chat: ChatLatentSeek) -> None:
    kept: list[BaseMessage] = trim_messages(
        LONG, max_tokens=200, token_counter=partial(chat.get_num_tokens_from_messages, tools=[add]),
        include_system=True, start_on="human",
    )  # fmt: skip
    assert 3 <= len(kept) < len(LONG)
    assert (kept[0], kept[-1]) == (LONG[0], LONG[-1])
    assert 0 < read(chat.bind_tools([add]), kept) <= 200


@pytest.mark.parametrize("model", TEMPLATES)
def test_any_part_of_a_conversation_in_any_order_is_counted(model: str) -> None:
    chat = templated(model)
    for messages in CONVERSATIONS.values():
        for start in range(len(messages)):
            for part in (messages[start:], messages[: start + 1], messages[start::-1]):
                count = chat.get_num_tokens_from_messages(part)
                assert count > len(part)
                if model in ("qwen-2.5", "llama-3.1", "mistral-v0.3"):  # these know tools
                    assert chat.get_num_tokens_from_messages(part, tools=[add]) > count


def test_what_no_template_accepts_is_counted_without_one() -> None:
    chat = templated("gemma-2")
    never = "{{ raise_exception('no') }}"
    tokenizer = with_template(never)
    refusing = ChatLatentSeek(model=tiny_model(), tokenizer=tokenizer, memory=None)
    count = refusing.get_num_tokens_from_messages(TALK[1:3])
    assert count == pytest.approx(chat.get_num_tokens_from_messages(TALK[1:3]), rel=0.7)
    with pytest.raises(PromptError, match="must accept the messages"):
        refusing.invoke(TALK[:2])


def test_tools_that_the_template_does_not_know_are_an_error_when_counted_too() -> None:
    with pytest.raises(PromptError, match="tools need a chat template that knows them"):
        templated("zephyr").get_num_tokens_from_messages(TALK[1:2], tools=[add])


def test_counting_what_is_too_long_gives_no_warning_of_errors_to_come(
    caplog: pytest.LogCaptureFixture,
) -> None:
    tokenizer = copy.deepcopy(tiny_tokenizer())
    tokenizer.model_max_length = 10
    chat = ChatLatentSeek(model=tiny_model(), tokenizer=tokenizer, memory=None)
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        assert chat.get_num_tokens_from_messages(LONG) > 100 < chat.get_num_tokens("eggs " * 101)
    finally:
        logger.removeHandler(caplog.handler)
    assert not caplog.records
