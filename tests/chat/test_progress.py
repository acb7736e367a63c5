"""What a call reports while it works: to a function, to callbacks, to tracers, in its stream."""

import logging
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler

from latent_agent import ChatLatentSeek
from latent_agent.chat.draft_text import DraftText
from latent_agent.model.registry import open_model
from latent_agent.teaching import questions

PLANTED = [question.text for question in questions("test", n=42, seed=5) if question.planted]


@pytest.fixture(scope="module")
def chat() -> ChatLatentSeek:
    return ChatLatentSeek(model="bundled", memory=None)


@pytest.fixture(scope="module")
def searched(chat) -> str:
    """A question whose draft falls short."""
    return next(
        text
        for text in PLANTED
        if chat.invoke(text).response_metadata["latent_agent"]["iterations"] > 1
    )


def record(events: list[tuple[str, dict[str, Any]]]):
    return lambda event, details: events.append((event, dict(details)))


def test_the_events_are_what_the_metadata_says(chat, searched):
    events: list[tuple[str, dict[str, Any]]] = []
    message = chat.invoke(searched, on_progress=record(events))
    trace = message.response_metadata["latent_agent"]
    steps = [details for event, details in events if event == "step"]
    verdicts = [details for event, details in events if event == "verdict"]
    assert [event for event, _ in events][:2] == ["draft", "verdict"]
    assert events[0][1]["text"] == trace["draft"]
    assert [details["step"] for details in steps] == list(range(1, trace["iterations"] + 1))
    assert [[verdicts[0]["reward"]], *(details["rewards"] for details in steps)] == trace["rewards"]
    assert [details["accepted"] for details in verdicts] == [False] * (len(verdicts) - 1) + [True]
    assert (verdicts[-1]["text"], verdicts[-1]["checks"]) == (message.text, trace["checks"])
    seconds = [details["seconds"] for _, details in events]
    assert seconds == sorted(seconds)


def test_a_recall_is_told(tmp_path):
    events: list[tuple[str, dict[str, Any]]] = []
    chat = ChatLatentSeek(
        model="bundled", memory=str(tmp_path / "m.sqlite3"), on_progress=record(events)
    )
    first = chat.invoke(PLANTED[0]).response_metadata["latent_agent"]["trace_id"]
    chat.invoke(PLANTED[0])
    recalls = [details["neighbours"] for event, details in events if event == "recall"]
    assert recalls == [[], [first]]


def test_a_failing_listener_is_logged_and_costs_no_answer(chat, caplog):
    def broken(event, details):
        raise KeyError(event)

    with caplog.at_level(logging.ERROR, "latent_agent"):
        message = chat.invoke(PLANTED[0], on_progress=broken)
    assert message.text == chat.invoke(PLANTED[0]).text
    assert "'draft'" in caplog.text


class Heard(BaseCallbackHandler):
    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []
        self.run_ids = set()

    def on_chat_model_start(self, *_args: Any, run_id: Any, **_given: Any) -> None:
        self.run_ids.add(run_id)

    def on_custom_event(self, name: str, data: Any, *, run_id: Any, **_given: Any) -> None:
        self.events.append((name, data))
        self.run_ids.add(run_id)


@pytest.mark.parametrize("way", ["invoke", "stream", "batch", "chain", "constructor"])
def test_handlers_get_custom_events_of_the_models_own_run(chat, searched, way):
    heard = Heard()
    config: Any = {"callbacks": [heard]}
    if way == "invoke":
        chat.invoke(searched, config)
    elif way == "stream":
        list(chat.stream(searched, config))
    elif way == "batch":
        chat.batch([searched], config)
    elif way == "chain":
        (ChatPromptTemplate.from_messages([("user", "{q}")]) | chat).invoke({"q": searched}, config)
    else:
        ChatLatentSeek(model="bundled", memory=None, callbacks=[heard]).invoke(searched)
    names = [name for name, _ in heard.events]
    assert (names[:2], names[-1]) == (["draft", "verdict"], "step")
    assert len(heard.run_ids) == 1


async def test_async_handlers_too(chat, searched):
    class Listening(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.names: list[str] = []

        async def on_custom_event(self, name: str, data: Any, **_given: Any) -> None:
            self.names.append(name)

    for call in (chat.ainvoke, chat.invoke):
        listening = Listening()
        answered = call(searched, {"callbacks": [listening]})
        if call == chat.ainvoke:
            await answered
        assert listening.names[:2] == ["draft", "verdict"]


@pytest.mark.parametrize("in_a_chain", [False, True])
async def test_astream_events_show_the_progress_and_then_the_answer(chat, searched, in_a_chain):
    runnable = chat
    if in_a_chain:
        runnable = ChatPromptTemplate.from_messages([("user", "{messages}")]) | chat
    asked: Any = {"messages": searched} if in_a_chain else searched
    events = [event async for event in runnable.astream_events(asked, version="v2")]
    names = [e["name"] for e in events if e["event"] == "on_custom_event"]
    assert (names[:2], names[-1]) == (["draft", "verdict"], "step")
    kinds = [e["event"] for e in events]
    shown = [e["data"]["chunk"].text for e in events if e["event"] == "on_chat_model_stream"]
    assert kinds.index("on_custom_event") < kinds.index("on_chat_model_stream")
    assert "".join(shown) == chat.invoke(searched).text


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_tracer_sees_one_run_with_a_child_for_each_event(chat, searched, way):
    tracer = RunCollectorCallbackHandler()
    config: Any = {"callbacks": [tracer]}
    _ = chat.invoke(searched, config) if way == "invoke" else list(chat.stream(searched, config))
    (run,) = tracer.traced_runs
    trace = chat.invoke(searched).response_metadata["latent_agent"]
    names = [child.name for child in run.child_runs]
    assert (run.run_type, names[:2]) == ("llm", ["draft", "verdict"])
    assert names.count("step") == trace["iterations"]
    assert (run.child_runs[0].outputs or {})["text"] == trace["draft"]
    assert run.extra["invocation_params"].keys().isdisjoint({"run", "on_progress", "cancelled"})


# ------------------------------------------------------------------------ draft in the stream


def test_the_draft_comes_first_and_stays_out_of_the_answer(chat, searched):
    chunks = list(chat.stream(searched, stream_draft=True))
    message = chat.invoke(searched)
    drafted = [chunk.additional_kwargs.get("draft") for chunk in chunks]
    answer = drafted.index(None)
    assert "".join(drafted[:answer]) == message.response_metadata["latent_agent"]["draft"]
    assert answer > 3
    assert set(drafted[answer:]) == {None}
    assert {chunk.text for chunk in chunks[:answer]} == {""}
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.text == message.text
    assert whole.usage_metadata == message.usage_metadata
    assert whole.response_metadata["latent_agent"]["rewards"]


async def test_the_draft_in_an_async_stream(chat, searched):
    chunks = [chunk async for chunk in chat.astream(searched, stream_draft=True)]
    assert chunks[0].additional_kwargs["draft"]
    assert "".join(chunk.text for chunk in chunks) == (await chat.ainvoke(searched)).text


def test_an_error_in_the_draft_comes_out_at_once():
    chat = ChatLatentSeek(model="bundled", memory=None, stream_draft=True)
    with pytest.raises(Exception, match="4096"):
        list(chat.stream("word " * 5000))


@pytest.mark.parametrize(
    "text", ["Größe: 3 €. ", "日本語 text 🙂🙃 end", "tab\tand\n\nlines \n", " "]
)
def test_no_character_of_a_draft_is_torn(text):
    tokenizer = open_model("bundled").tokenizer
    words: list[str] = []
    drafted = DraftText(tokenizer, words.append)
    for token in tokenizer.encode(text):
        drafted.token(token)
    drafted.end()
    assert "".join(words) == text
    assert not any("\ufffd" in word for word in words)
