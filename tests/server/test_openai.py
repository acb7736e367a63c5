"""OpenAI's own package against a server."""

import math
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.support.served import QUESTION, Served

ASKED: Any = [{"role": "user", "content": QUESTION}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
PLAIN: Any = {"latent_agent": {"max_iterations": 0}}


class Trip(BaseModel):
    day: str


def test_an_answer_says_how_it_came_about(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="bundled", messages=ASKED, user="ann")
    (choice,) = answer.choices
    assert (
        choice.message.content == "We count back. Monday - 3 days = Friday. The answer is Friday."
    )
    assert choice.finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    own: Any = answer.model_extra
    assert own["latent_agent"]["rewards"][-1] == [0.0]
    assert own["latent_agent"]["trace_id"] is not None


def test_a_request_may_ask_for_what_was_calibrated(client: openai.OpenAI) -> None:
    own: Any = {"latent_agent": {"recipe": "auto", "max_iterations": 0}}
    answer = client.chat.completions.create(model="bundled", messages=ASKED, extra_body=own)
    assert (answer.model_extra or {})["latent_agent"]["recipe"] == "auto: none saved"


def test_a_stream_is_the_answer(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="bundled", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(one.choices[0].delta.content or "" for one in chunks if one.choices)
    assert text == "We count back. Monday - 3 days = Friday. The answer is Friday."
    *_, last, usage = chunks
    assert last.choices[0].finish_reason == "stop"
    assert usage.choices == []
    assert usage.usage is not None
    assert usage.usage.completion_tokens > 0
    assert (last.model_extra or {})["latent_agent"]["answer_id"] is not None


@pytest.mark.parametrize("stop", [None, ["The answer"], ["Thursday", "days"]])
def test_plain_generation_is_sent_while_it_is_written(client: openai.OpenAI, stop: Any) -> None:
    given: Any = {"model": "bundled", "messages": ASKED, "stop": stop, "extra_body": PLAIN}
    whole = client.chat.completions.create(**given).choices[0].message.content
    chunks = list(client.chat.completions.create(**given, stream=True))
    texts = [one.choices[0].delta.content or "" for one in chunks if one.choices]
    assert len([text for text in texts if text]) > 3
    assert "".join(texts) == whole
    assert whole
    assert not any(text in whole for text in stop or ())


async def test_async(server: Served) -> None:
    async with openai.AsyncOpenAI(base_url=server.base, api_key="none") as client:
        answer = await client.chat.completions.create(model="bundled", messages=ASKED)
        assert "Friday" in (answer.choices[0].message.content or "")
        stream = await client.chat.completions.create(model="bundled", messages=ASKED, stream=True)
        text = "".join([one.choices[0].delta.content or "" async for one in stream if one.choices])
    assert text == answer.choices[0].message.content


def test_a_tool_is_called_and_its_result_read(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "user", "content": "How is the weather in Oslo?"}]
    given: Any = {"model": "bundled", "tools": [WEATHER]}
    first = client.chat.completions.create(messages=messages, tool_choice="required", **given)
    (call,) = list(first.choices[0].message.tool_calls or [])
    assert first.choices[0].finish_reason == "tool_calls"
    assert first.choices[0].message.content is None
    assert call.type == "function"
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Oslo"}')
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    second = client.chat.completions.create(messages=messages, **given)
    assert second.choices[0].message.content

    named: Any = {"type": "function", "function": {"name": "get_weather"}}
    chunks = client.chat.completions.create(
        messages=messages[:1], tool_choice=named, stream=True, **given
    )
    parts = [
        call for one in chunks if one.choices for call in one.choices[0].delta.tool_calls or ()
    ]
    assert [part.function and part.function.arguments for part in parts] == ['{"city": "Oslo"}']


def test_structured_output(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model="bundled", messages=ASKED, response_format=Trip)
    assert isinstance(parsed.choices[0].message.parsed, Trip)
    json_only: Any = {"type": "json_object"}
    answer = client.chat.completions.create(
        model="bundled", messages=ASKED, response_format=json_only, max_completion_tokens=80
    )
    assert (answer.choices[0].message.content or "").startswith("{")
    text: Any = {"type": "text"}
    answer = client.chat.completions.create(
        model="bundled", messages=ASKED, response_format=text, extra_body=PLAIN
    )
    assert (answer.choices[0].message.content or "").startswith("We count")


def test_sampling_is_seeded(client: openai.OpenAI) -> None:
    open_question: Any = [{"role": "user", "content": "What do you like?"}]
    given: Any = {
        "model": "bundled", "messages": open_question, "temperature": 2.0, "extra_body": PLAIN,
    }  # fmt: skip
    first, same, *others = (
        client.chat.completions.create(**given, seed=seed, top_p=1.0).choices[0].message.content
        for seed in (1, 1, -1, 2, 3)
    )
    assert first == same
    assert {first, *others} != {first}
    several = client.chat.completions.create(**given, n=3, max_tokens=8)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert several.usage is not None
    assert several.usage.completion_tokens <= 24
    cut = client.chat.completions.create(**given, max_tokens=3)
    assert cut.choices[0].finish_reason == "length"


def test_logprobs_are_those_of_the_model(client: openai.OpenAI) -> None:
    """A greedy draft takes the likeliest token everywhere; what follows depends on no search."""
    given: Any = {"model": "bundled", "messages": ASKED, "extra_body": PLAIN}
    answer = client.chat.completions.create(**given, logprobs=True, top_logprobs=3)
    likely = answer.choices[0].logprobs
    assert likely is not None
    content = likely.content or ()
    assert "".join(one.token for one in content) == answer.choices[0].message.content
    for one in content:
        assert len(one.top_logprobs) == 3
        assert one.top_logprobs[0].token == one.token
        assert one.top_logprobs[0].logprob == one.logprob <= 0
        assert sum(math.exp(other.logprob) for other in one.top_logprobs) <= 1 + 1e-5
        assert bytes(one.bytes or ()).decode() == one.token
    chunks = client.chat.completions.create(**given, logprobs=True, stream=True)
    seen = [
        token
        for one in chunks
        if one.choices and one.choices[0].logprobs
        for token in one.choices[0].logprobs.content or ()
    ]
    assert [token.logprob for token in seen] == [token.logprob for token in content]


def test_logprobs_end_where_a_stop_text_ends_the_answer(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="bundled", messages=ASKED, stop=" The answer", logprobs=True, extra_body=PLAIN
    )
    likely = answer.choices[0].logprobs
    assert likely is not None
    tokens = [one.token for one in likely.content or ()]
    assert "".join(tokens) == answer.choices[0].message.content


def test_embeddings(client: openai.OpenAI) -> None:
    made = client.embeddings.create(model="bundled", input=[QUESTION, "Hello."])
    plain = client.embeddings.create(model="bundled", input=QUESTION, encoding_format="float")
    assert [one.index for one in made.data] == [0, 1]
    assert made.data[0].embedding == pytest.approx(plain.data[0].embedding, rel=1e-5)
    assert len(made.data[0].embedding) == len(made.data[1].embedding) > 0
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        client.embeddings.create(model="bundled", input="x", dimensions=7)


def test_models(client: openai.OpenAI) -> None:
    assert [one.id for one in client.models.list().data] == ["bundled"]
    assert client.models.retrieve("bundled").id == "bundled"
    with pytest.raises(openai.NotFoundError, match="the one that this server serves"):
        client.models.retrieve("gpt-5")


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"model": "gpt-5"}, openai.NotFoundError, "model must be 'bundled'"),
        ({"messages": []}, openai.BadRequestError, "at least 1 item"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "at most 4096.*--most-tokens"),
        ({"max_tokens": 10**400}, openai.BadRequestError, "at most 4096"),
        ({"n": 9}, openai.BadRequestError, "--most-answers"),
        ({"top_logprobs": 2}, openai.BadRequestError, "logprobs=True"),
        ({"frequency_penalty": 1}, openai.BadRequestError, "frequency_penalty"),
        ({"extra_body": {"best_of": 2}}, openai.BadRequestError, "no such parameter"),
        (
            {"extra_body": {"latent_agent": {"recipe": "latentseek"}}},
            openai.BadRequestError,
            "a recipe is the server's own",
        ),
        ({"extra_body": {"latent_agent": {"width": 99}}}, openai.BadRequestError, "--most-width"),
        ({"extra_body": {"latent_agent": {"timeout": 9e9}}}, openai.BadRequestError, "seconds"),
        (
            {"messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/x.png"}}]}]},
            openai.BadRequestError,
            "reads no images",
        ),
        (
            {"messages": [*ASKED, {"role": "assistant", "content": "Fri"}]},
            openai.BadRequestError,
            "must end with what is to be answered",
        ),
        ({"tools": [WEATHER, WEATHER]}, openai.BadRequestError, "twice"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told(
    client: openai.OpenAI, given: Any, error: type[Exception], says: str
) -> None:
    create: Any = client.chat.completions.create
    with pytest.raises(error, match=says) as caught:
        create(**{"model": "bundled", "messages": ASKED, **given})
    assert isinstance(caught.value, openai.APIStatusError)
    assert isinstance(caught.value.body, dict)
    assert set(caught.value.body) == {"message", "type", "param", "code"}
