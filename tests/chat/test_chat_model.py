"""ChatLatentSeek on the bundled model: the contract's metadata, and every way to call it."""

import asyncio
import json
from typing import Any

import pytest
from langchain_core.messages import HumanMessage

from latent_agent import ChatLatentSeek
from latent_agent.errors import LatentAgentError, PromptError, SettingError
from latent_agent.teaching import is_right, model_path, questions

PLANTED = [question for question in questions("test", n=42, seed=5) if question.planted][:6]


@pytest.fixture(scope="module")
def chat():
    return ChatLatentSeek(model="bundled", memory=None)


def test_answers_what_the_draft_got_wrong(chat):
    fixed = 0
    for question in PLANTED:
        message = chat.invoke(question.text)
        trace = message.response_metadata["latent_agent"]
        fixed += is_right(question, message.text) and not is_right(question, trace["draft"])
        assert len(trace["rewards"]) == trace["iterations"] + 1
        assert json.loads(json.dumps(message.response_metadata)) == message.response_metadata
        assert set(trace["forwarded_tokens"]) == {"draft", "refine", "judge"}
    assert fixed >= 1


def test_all_ways_to_call_give_the_same_answer(chat):
    texts = [question.text for question in PLANTED[:3]]
    one_by_one = [chat.invoke(text).text for text in texts]
    assert [message.text for message in chat.batch(texts)] == one_by_one
    assert ["".join(c.text for c in chat.stream(text)) for text in texts] == one_by_one

    async def later():
        streamed = [chunk.text async for chunk in chat.astream(texts[0])]
        return await chat.ainvoke(texts[0]), await chat.abatch(texts), "".join(streamed)

    single, batch, streamed = asyncio.run(later())
    assert [single.text, streamed] == [one_by_one[0]] * 2
    assert [message.text for message in batch] == one_by_one


def test_the_stream_ends_with_the_metadata(chat):
    chunks = list(chat.stream(PLANTED[0].text))
    assert len(chunks) > 3
    assert [bool(chunk.response_metadata.get("latent_agent")) for chunk in chunks].count(True) == 1
    assert chunks[-1].usage_metadata["output_tokens"] > 0


def test_no_iterations_is_plain_unjudged_generation():
    chat = ChatLatentSeek(model="bundled", memory=None, max_iterations=0)
    trace = chat.invoke(PLANTED[0].text).response_metadata["latent_agent"]
    assert (trace["stopped"], trace["rewards"]) == ("unjudged", [])
    assert trace["forwarded_tokens"]["judge"] == 0


@pytest.mark.parametrize(("limit", "reason"), [({"timeout": 0}, "time"), ({}, "tokens")])
def test_a_spent_budget_returns_the_best_so_far(limit, reason):
    for tokens in (1, 40, 60, 100, 200):
        given: dict[str, Any] = limit or {"max_forwarded_tokens": tokens}
        trace = (
            ChatLatentSeek(model="bundled", memory=None, threshold=-1e-9, **given)
            .invoke(PLANTED[0].text)
            .response_metadata["latent_agent"]
        )
        assert trace["stopped"] in (reason, "threshold")
        assert sum(trace["forwarded_tokens"].values()) <= tokens or reason == "time"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fraction", 0.0),
        ("fraction", 1.5),
        ("max_iterations", -1),
        ("learning_rate", -0.1),
        ("threshold", 0.0),
        ("threshold", -1.5),
        ("threshold", float("nan")),
        ("samples", 4),
        ("recipe", "latenseek"),
    ],
)
def test_bad_settings_name_the_rule_the_value_and_the_remedy(name, value):
    given: dict[str, Any] = {name: value}
    with pytest.raises(SettingError) as caught:
        ChatLatentSeek(model="bundled", **given)
    assert name in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize("model", ["./no-such-folder", "no-such-owner/no-such-model"])
def test_an_unknown_model_is_named(model):
    with pytest.raises(LatentAgentError, match="no-such"):
        ChatLatentSeek(model=model).invoke("hello")


def test_bad_messages_are_refused(chat):
    with pytest.raises(PromptError, match="at least one message"):
        chat.invoke([])
    image = {"type": "image_url", "image_url": {"url": "file:///x.png"}}
    with pytest.raises(PromptError, match="image_url"):
        chat.invoke([HumanMessage([image])])
    with pytest.raises(PromptError, match="4096"):
        chat.invoke("word " * 5000)


@pytest.mark.parametrize("value", [float("nan"), 0.5, -1.5, None])
def test_a_bad_reward_ends_the_search_with_the_best_so_far(value):
    scripted = iter([-0.9, -0.8])
    chat = ChatLatentSeek(model="bundled", memory=None, reward=lambda _q, _a: next(scripted, value))
    message = chat.invoke(PLANTED[0].text)
    trace = message.response_metadata["latent_agent"]
    assert trace["stopped"] == "reward_error"
    assert trace["rewards"] == [[-0.9], [-0.8]]
    assert repr(value) in trace["error"]
    assert message.text


def test_a_raising_reward_returns_the_draft():
    def broken(question, answer):
        raise KeyError("lost")

    message = ChatLatentSeek(model="bundled", memory=None, reward=broken).invoke(PLANTED[0].text)
    trace = message.response_metadata["latent_agent"]
    assert message.text == trace["draft"]
    assert "KeyError" in trace["error"]


def test_an_unknown_argument_draws_a_warning_with_the_nearest():
    given: dict[str, Any] = {"treshold": -0.1}
    with pytest.warns(UserWarning, match="threshold"):
        ChatLatentSeek(model="bundled", **given)


def test_the_bundled_weights_are_small():
    assert (model_path() / "model.safetensors").stat().st_size <= 6_000_000
