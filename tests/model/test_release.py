"""Weights are freed once nobody uses them."""

import copy
import gc
import pickle
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.runnables import ConfigurableField

from latent_agent import ChatLatentSeek, LatentSeekEmbeddings, LatentSeekLLM, TraceRetriever
from latent_agent.model.places import bundled_path
from latent_agent.model.registry import open_model
from tests.support.engines import transformers_engine

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
SCHEMA = {"title": "Trip", "type": "object", "properties": {"day": {"enum": ["Monday"]}}}


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A model that no other test uses."""
    return shutil.copytree(bundled_path(), tmp_path / "model").as_posix()


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """Weights are freed at once, not when garbage happens to be collected."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def weights(name: str) -> "weakref.ref[torch.nn.Parameter]":
    """Return a reference to the weights that users of a model share."""
    return weakref.ref(next(transformers_engine(open_model(name)).model.parameters()))


def plain(name: str, **given: Any) -> ChatLatentSeek:
    return ChatLatentSeek(model=name, memory=None, max_tokens=4, **given)


def test_they_go_with_the_last_chat_model_that_was_used_in_all_ways(
    name: str, tmp_path: Path
) -> None:
    memory = tmp_path / "m.sqlite3"
    chat = ChatLatentSeek(model=name, memory=memory, archive=-1.0)
    chat.invoke(QUESTION)
    assert chat.invoke(QUESTION).response_metadata["latent_agent"]["warm_start"]["neighbours"]
    chat.with_structured_output(SCHEMA).invoke(QUESTION)
    chat.batch([QUESTION, QUESTION])
    list(chat.stream(QUESTION, stream_draft=True))
    seen = weights(name)
    tokenizer = weakref.ref(open_model(name).tokenizer)
    del chat
    gc.collect()  # of exceptions' and runs' own circles
    assert (seen(), tokenizer()) == (None, None)


def test_another_chat_model_goes_on_with_the_same_weights(name: str) -> None:
    first, second = plain(name), plain(name, temperature=0.5)
    first.invoke(QUESTION)
    seen = weights(name)
    del first
    said = second.invoke(QUESTION).text
    assert weights(name)() is seen() is not None
    assert said == second.invoke(QUESTION).text
    del second
    assert seen() is None


USERS: dict[str, tuple[Callable[[str], Any], Callable[[Any], object]]] = {
    "chat": (plain, lambda chat: chat.invoke(QUESTION).text),
    "llm": (lambda name: LatentSeekLLM(chat=plain(name)), lambda llm: llm.invoke(QUESTION)),
    "embeddings": (
        lambda name: LatentSeekEmbeddings(model=name),
        lambda embeddings: embeddings.embed_query(QUESTION),
    ),
    "retriever": (
        lambda name: TraceRetriever(model=name, memory=f"{name}.sqlite3"),
        lambda retriever: retriever._embed(QUESTION).tolist(),
    ),
}


@pytest.mark.parametrize("kind", USERS)
def test_closing_frees_them_and_the_next_use_loads_them_again(name: str, kind: str) -> None:
    made, used = USERS[kind][0](name), USERS[kind][1]
    before, seen = used(made), weights(name)
    made.close()
    made.close()
    assert seen() is None
    assert used(made) == before
    seen = weights(name)
    del made
    assert seen() is None


COPIES: dict[str, Callable[[Any], Any]] = {
    "model_copy": lambda one: one.model_copy(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("kind", COPIES)
@pytest.mark.parametrize("user", ["chat", "embeddings"])
def test_a_copy_is_a_user(name: str, user: str, kind: str) -> None:
    original, used = USERS[user][0](name), USERS[user][1]
    used(original)
    seen, other = weights(name), COPIES[kind](original)
    assert other == original
    original.close()
    del original
    used(other)
    assert weights(name)() is seen() is not None
    del other
    assert seen() is None


def test_one_that_was_pickled_holds_nothing(name: str) -> None:
    chat = plain(name)
    said, seen = chat.invoke(QUESTION).text, weights(name)
    other = pickle.loads(pickle.dumps(chat))
    del chat
    assert seen() is None
    assert other.invoke(QUESTION).text == said


def test_a_model_named_for_a_call_stays_loaded_for_the_next(name: str) -> None:
    chat = plain("bundled")
    chat.invoke(QUESTION, model=name)
    seen = weights(name)
    assert seen() is not None
    either = chat.configurable_fields(model=ConfigurableField(id="model"))
    either.invoke(QUESTION, {"configurable": {"model": name}})
    assert weights(name)() is seen()
    chat.close()
    either.invoke(QUESTION, {"configurable": {"model": name}})
    seen = weights(name)
    assert seen() is not None
    chat.close()
    assert seen() is None


def test_a_call_that_is_under_way_ends_as_usual(name: str) -> None:
    closed = threading.Event()

    def reward(question: str, answer: str) -> float:
        if not closed.is_set():
            chat.close()
            closed.set()
        return -0.5

    chat = ChatLatentSeek(model=name, memory=None, reward=reward, max_iterations=1)
    found = chat.invoke(QUESTION).response_metadata["latent_agent"]
    assert (found["error"], found["iterations"]) == (None, 1)


def test_a_model_that_was_handed_over_goes_with_its_last_user(name: str) -> None:
    shared = open_model(name)
    model, tokenizer = transformers_engine(shared).model, shared.tokenizer
    chat = ChatLatentSeek(model=model, tokenizer=tokenizer, memory=None, max_tokens=4)
    chat.invoke(QUESTION)
    seen = weakref.ref(next(model.parameters()))
    del model, tokenizer, shared
    assert seen() is not None
    del chat
    assert seen() is None
