"""What a call is given holds for that call: nothing that others share is ever changed."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable

from latent_agent import ChatLatentSeek, LatentSeekLLM
from latent_agent.errors import SettingError
from latent_agent.model.registry import open_model
from latent_agent.teaching import questions
from latent_memory import LatentMemory
from tests.support.engines import transformers_engine

ASKED = [question.text for question in questions("test", n=4, seed=7)]
THREADS = 8


@pytest.fixture(scope="module")
def chat() -> ChatLatentSeek:
    return ChatLatentSeek(model="bundled", memory=None)


@pytest.fixture(autouse=True)
def nothing_shared_changes(chat: ChatLatentSeek) -> Iterator[None]:
    """Compare the model and the chat model before and after each test."""
    before, weights = repr(chat), weights_of()
    yield
    assert repr(chat) == before
    assert weights_of() == weights


def weights_of() -> float:
    model = transformers_engine(open_model("bundled")).model
    return sum(parameter.double().sum().item() for parameter in model.parameters())


def metadata(message: Any) -> dict[str, Any]:
    return message.response_metadata["latent_agent"]


def length(message: Any) -> int:
    return message.usage_metadata["output_tokens"]


def test_bind_and_with_config_leave_the_original_alone(chat: ChatLatentSeek) -> None:
    whole = length(chat.invoke(ASKED[0]))
    short = chat.bind(max_tokens=3)
    assert [length(short.invoke(ASKED[0])), length(chat.invoke(ASKED[0]))] == [3, whole]
    unjudged = chat.bind(max_iterations=0)
    assert metadata(unjudged.invoke(ASKED[0]))["stopped"] == "unjudged"
    assert metadata(chat.with_config(tags=["mine"]).invoke(ASKED[0]))["stopped"] != "unjudged"
    both = chat.bind(max_tokens=3).bind(max_iterations=0).with_config(tags=["mine"])
    assert (length(both.invoke(ASKED[0])), metadata(both.invoke(ASKED[0]))["rewards"]) == (3, [])
    with pytest.raises(SettingError, match="threshold must"):
        chat.bind(threshold=0.5).invoke(ASKED[0])


def test_configurable_fields(chat: ChatLatentSeek) -> None:
    tunable = chat.configurable_fields(
        max_tokens=ConfigurableField(id="longest"),
        max_iterations=ConfigurableField(id="steps"),
    )
    whole = length(chat.invoke(ASKED[0]))
    config: Any = {"configurable": {"longest": 3, "steps": 0}}
    short = tunable.invoke(ASKED[0], config)
    assert (length(short), metadata(short)["stopped"]) == (3, "unjudged")
    assert length(tunable.invoke(ASKED[0])) == whole
    chain = ChatPromptTemplate.from_template("{question}") | tunable
    assert length(chain.invoke({"question": ASKED[0]}, config)) == 3
    assert length(tunable.with_config(config).invoke(ASKED[0])) == 3
    with pytest.raises(SettingError, match="max_tokens must"):
        tunable.invoke(ASKED[0], {"configurable": {"longest": 0}})


def test_configured_models_keep_sharing_weights_and_memory(tmp_path: Path) -> None:
    engine = open_model("bundled").engine()
    chat = ChatLatentSeek(
        model="bundled", memory=tmp_path / "memory.sqlite3", reward=lambda _q, _a: -0.1
    )
    tunable = chat.configurable_fields(namespace=ConfigurableField(id="user"))
    first = metadata(tunable.invoke(ASKED[0], {"configurable": {"user": "ann"}}))
    assert metadata(chat.invoke(ASKED[0]))["warm_start"]["neighbours"] == []
    again = metadata(chat.invoke(ASKED[0], {"configurable": {"namespace": "ann"}}))
    assert again["warm_start"]["neighbours"] == [first["trace_id"]]
    assert open_model("bundled").engine() is engine


def test_configurable_alternatives(chat: ChatLatentSeek) -> None:
    others: dict[str, Any] = {
        "plain": ChatLatentSeek(model="bundled", memory=None, max_iterations=0),
        "text": LatentSeekLLM(chat=chat),
    }
    either = chat.configurable_alternatives(
        ConfigurableField(id="how"), default_key="searched", **others
    )
    plain: Any = either.invoke(ASKED[0], {"configurable": {"how": "plain"}})
    assert metadata(plain)["stopped"] == "unjudged"
    whole = chat.invoke(ASKED[0])
    assert metadata(either.invoke(ASKED[0]))["rewards"] == metadata(whole)["rewards"]
    assert either.invoke(ASKED[0], {"configurable": {"how": "text"}}) == whole.text


def test_fallbacks_and_retries_wrap_it(chat: ChatLatentSeek) -> None:
    broken = ChatLatentSeek(model="./nowhere", memory=None)
    either = broken.with_fallbacks([chat])
    assert either.invoke(ASKED[0]).text == chat.invoke(ASKED[0]).text
    again: Runnable[Any, Any] = chat.with_retry(stop_after_attempt=2)
    assert again.invoke(ASKED[0]).text == chat.invoke(ASKED[0]).text


def test_threads_with_settings_of_their_own_do_not_meet(chat: ChatLatentSeek) -> None:
    tunable = chat.configurable_fields(max_tokens=ConfigurableField(id="longest"))

    def ask(number: int) -> tuple[str, int, int]:
        text = ASKED[number % len(ASKED)]
        config: Any = {"configurable": {"longest": 3 + number}}
        message = tunable.invoke(text, config, max_iterations=number % 3)
        return message.text, length(message), metadata(message)["iterations"]

    one_by_one = [ask(number) for number in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as threads:
        at_once = list(threads.map(ask, range(THREADS)))
    assert at_once == one_by_one
    assert [count <= 3 + number for number, (_, count, _) in enumerate(at_once)] == [True] * THREADS
    assert len({count for _, count, _ in at_once}) > 4


def test_threads_with_namespaces_of_their_own_do_not_meet(tmp_path: Path) -> None:
    names = [f"user {number}" for number in range(THREADS)]
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        chat = ChatLatentSeek(
            model="bundled", memory=memory, reward=lambda _q, _a: -0.1, memory_mode="write"
        )

        def ask(name: str) -> list[int]:
            config: Any = {"configurable": {"namespace": name}}
            return [metadata(chat.invoke(text, config))["trace_id"] for text in ASKED]

        with ThreadPoolExecutor(THREADS) as threads:
            ids = list(threads.map(ask, names))
        kept = {name: [one.id for one in memory.list(namespace=name)][::-1] for name in names}
        assert kept == dict(zip(names, ids, strict=True))
        assert [len(kept[name]) for name in names] == [len(ASKED)] * THREADS
        assert chat.namespace == "default"
