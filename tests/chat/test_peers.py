"""What langchain-huggingface's local pipeline gets wrong, each as a test of ours."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from latent_agent import ChatLatentSeek
from latent_agent.errors import SettingError
from latent_agent.model.registry import open_model
from latent_agent.teaching import is_right, questions
from tests.support.engines import transformers_engine

ASKED = next(question for question in questions("test", n=8, seed=2) if question.family == "order")


@pytest.fixture(scope="module")
def chat() -> ChatLatentSeek:
    return ChatLatentSeek(model="bundled", memory=None)


async def test_ainvoke_and_astream_work(chat):
    message = await chat.ainvoke(ASKED.text)
    chunks = [chunk async for chunk in chat.astream(ASKED.text)]
    assert message.text == "".join(chunk.text for chunk in chunks) == chat.invoke(ASKED.text).text


def test_the_prompt_is_not_echoed(chat):
    message = chat.invoke(ASKED.text)
    assert ASKED.text not in message.text
    assert is_right(ASKED, message.text)


def test_usage_name_and_finish_reason_are_there(chat):
    message = chat.invoke(ASKED.text)
    tokenizer = open_model("bundled").tokenizer
    usage = message.usage_metadata
    written = len(tokenizer.encode(message.text, add_special_tokens=False))
    assert usage["output_tokens"] == written + 1  # and the end of the turn
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    metadata = message.response_metadata
    assert (metadata["model_name"], metadata["finish_reason"]) == ("bundled", "stop")
    short = chat.invoke(ASKED.text, max_tokens=4)
    assert short.response_metadata["finish_reason"] == "length"
    assert short.usage_metadata["output_tokens"] == 4


@pytest.mark.parametrize("way", ["constructor", "call", "bound"])
def test_stop_texts_are_heeded_whatever_tokens_they_are_made_of(chat, way):
    whole = chat.invoke(ASKED.text, max_iterations=0).text
    tokens = open_model("bundled").tokenizer.encode(whole, add_special_tokens=False)
    for first in (1, 5, len(whole) // 2):  # the first lies within the optimised prefix
        stop = whole[first : first + 7]  # begins and ends in the middle of words
        assert len(tokens) > 3
        given: dict[str, Any] = {"stop": [stop]}
        if way == "constructor":
            stopping = ChatLatentSeek(model="bundled", memory=None, max_iterations=0, **given)
            message = stopping.invoke(ASKED.text)
        elif way == "call":
            message = chat.invoke(ASKED.text, max_iterations=0, **given)
        else:
            message = chat.bind(max_iterations=0, **given).invoke(ASKED.text)
        assert message.text == whole[: whole.index(stop)]
        assert message.response_metadata["finish_reason"] == "stop"


def test_a_stop_text_ends_every_candidate_of_a_search(chat):
    planted = [one for one in questions("test", n=42, seed=5) if one.planted][:4]
    seen: list[Any] = []
    for question in planted:
        message = chat.invoke(
            question.text, stop=[" The answer"], on_progress=lambda *event: seen.append(event)
        )
        assert " The answer" not in message.text
    assert len(seen) >= 2 * len(planted)
    assert " The answer" not in repr(seen)


def test_an_error_while_generating_comes_out_as_it_is(chat):
    body = transformers_engine(open_model("bundled")).model.base_model
    hook = body.register_forward_pre_hook(lambda *_: 1 / 0)
    try:
        for way in (chat.invoke, lambda text: list(chat.stream(text))):
            with pytest.raises(ZeroDivisionError):
                way(ASKED.text)
        with pytest.raises(ZeroDivisionError):
            list(chat.stream(ASKED.text, stream_draft=True))
    finally:
        hook.remove()
    assert chat.invoke(ASKED.text).text


def test_any_message_may_come_last(chat):
    call = {"name": "look", "args": {}, "id": "1", "type": "tool_call"}
    for messages in (
        [SystemMessage("Be short.")],
        [HumanMessage("Hello"), HumanMessage(ASKED.text)],
        [
            HumanMessage("Look."),
            AIMessage("", tool_calls=[call]),
            ToolMessage("It is sunny.", tool_call_id="1"),
        ],
    ):
        assert chat.invoke(messages, max_tokens=16).text is not None


def test_the_template_is_not_tokenised_with_a_second_bos(chat):
    tokenizer = open_model("bundled").tokenizer
    ids: Any = tokenizer.apply_chat_template(
        [{"role": "user", "content": ASKED.text}], add_generation_prompt=True, return_dict=True
    )
    usage = chat.invoke(ASKED.text).usage_metadata
    assert usage["input_tokens"] == len(ids["input_ids"])


# ---------------------------------------------------------------------- sampling, as in the field


def test_n_answers_with_a_temperature(chat):
    chat = ChatLatentSeek(model="bundled", memory=None, max_iterations=0, temperature=3)
    generations = chat.generate([[HumanMessage(ASKED.text)]], n=4, seed=3).generations[0]
    texts = [generation.text for generation in generations]
    assert len(texts) == 4
    assert len(set(texts)) > 1
    again = chat.generate([[HumanMessage(ASKED.text)]], n=4, seed=3).generations[0]
    assert [generation.text for generation in again] == texts
    assert texts[0] == chat.invoke(ASKED.text, seed=3).text


@pytest.mark.parametrize("n", [0, -1, 2.5, "3", True])
def test_a_wrong_n_is_refused(chat, n):
    with pytest.raises(SettingError, match=f"n must be a whole number, got {n!r}"):
        chat.generate([[HumanMessage("Hello")]], n=n)


def test_n_greedy_answers_are_refused(chat):
    with pytest.raises(SettingError, match="n=2 needs a temperature above 0"):
        chat.generate([[HumanMessage("Hello")]], n=2)


def test_a_seed_decides_and_top_p_cuts_the_tail():
    chat = ChatLatentSeek(model="bundled", memory=None, max_iterations=0, temperature=2.0)
    greedy = chat.invoke(ASKED.text, temperature=0.0).text
    sampled = {seed: chat.invoke(ASKED.text, seed=seed).text for seed in range(6)}
    assert len(set(sampled.values())) > 1
    assert sampled == {seed: chat.invoke(ASKED.text, seed=seed).text for seed in range(6)}
    cut = {chat.invoke(ASKED.text, seed=seed, top_p=1e-6).text for seed in range(6)}
    assert cut == {greedy}
    with pytest.raises(SettingError, match=r"top_p must lie in \(0, 1\], got 0.0"):
        chat.invoke(ASKED.text, top_p=0.0)


def test_a_namespace_of_the_wrong_type_is_refused(chat, tmp_path):
    chat = ChatLatentSeek(model="bundled", memory=str(tmp_path / "m.sqlite3"))
    for namespace in (7, None, ["ann"]):
        with pytest.raises(Exception, match="namespace") as caught:
            chat.invoke(ASKED.text, {"configurable": {"namespace": namespace}})
        assert repr(namespace) in str(caught.value)
