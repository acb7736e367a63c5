"""Copies, pickles and processes: what holds a memory opens it again at its location."""

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from latent_agent import (
    ChatLatentSeek,
    ExactMatch,
    FormatReward,
    JudgeReward,
    LatentSeekEmbeddings,
    LatentSeekLLM,
    SelfReward,
    ToolCallReward,
    TraceRetriever,
    WeightedSum,
)
from latent_agent.errors import BudgetSpent, CallCancelled, LatentAgentError
from latent_memory import IndexSettings, LatentMemory, Limits, LocationError, ReadOnlyError
from tests.support.memories import recalled, trace, vector
from tests.support.tiny import tiny_model, tiny_tokenizer

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"
INDEX = IndexSettings(flat_until=10, members=2, probes=10_000)
REWARDS = [
    *(None, ExactMatch("Friday"), FormatReward("boxed"), SelfReward("grades"), ToolCallReward()),
    JudgeReward(ChatLatentSeek(model="bundled", memory=None)),
    WeightedSum((SelfReward(), 2.0), (FormatReward("boxed"), 1.0)),
]


def pickled(given: Any) -> Any:
    return pickle.loads(pickle.dumps(given))


COPIES = pytest.mark.parametrize("again", [copy.deepcopy, pickled])


@COPIES
@pytest.mark.parametrize("closed", [False, True])
def test_a_memory_is_opened_anew_with_its_arguments(
    again: Callable[[LatentMemory], LatentMemory],
    closed: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    limits = Limits(capacity=50, max_age=timedelta(days=3), total=None)
    with LatentMemory("m.sqlite3", store_text=False, index=INDEX) as memory:
        memory.set_limits(limits)
        memory.add_many(trace(number) for number in range(20))
        if closed:
            memory.close()
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir("elsewhere")
        with again(memory) as other:
            assert (other.path, other.limits()) == (tmp_path / "m.sqlite3", limits)
            new = other.add(trace(99))
            stored = memory.get(new)  # one file, two objects
            assert stored is not None
            assert stored.trace.query is None
            assert recalled(other, vector(99), k=1) == [new]
        assert list((tmp_path / "m.sqlite3.index").iterdir())  # built as the first one's would be
        assert memory.verify() == []


@COPIES
def test_a_memory_to_read_stays_one(
    again: Callable[[LatentMemory], LatentMemory], tmp_path: Path
) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add(trace(1))
    with again(LatentMemory(tmp_path / "m.sqlite3", mode="read")) as other:
        assert recalled(other, vector(1)) == [1]
        with pytest.raises(ReadOnlyError):
            other.add(trace(2))
    with pytest.raises(ReadOnlyError):
        again(LatentMemory(tmp_path / "m.sqlite3", mode="write")).recall(
            vector(1), shelf=trace().shelf
        )


def test_a_memory_that_is_gone_by_then_says_so(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "m.sqlite3") as memory:
        memory.add(trace(1))
    packed = pickle.dumps(LatentMemory(tmp_path / "m.sqlite3", mode="read"))
    (tmp_path / "m.sqlite3").unlink()
    with pytest.raises(LocationError, match="where there is none yet"):
        pickle.loads(packed)


def everything(folder: Path) -> dict[str, Any]:
    """What a user may copy, or send to another process; each keeps what it is given."""
    memory = LatentMemory(folder / "m.sqlite3", store_text=False)
    kept: dict[str, Any] = {"model": "bundled", "archive": -1.0, "threshold": -0.4}
    made: dict[str, Any] = {
        "default": ChatLatentSeek(**kept),
        "path": ChatLatentSeek(**kept, memory=folder / "path.sqlite3"),
        "memory": ChatLatentSeek(**kept, memory=memory),
        "llm": LatentSeekLLM(**kept, memory=memory, namespace="llm"),
        "embeddings": LatentSeekEmbeddings(model="bundled"),
        "retriever": TraceRetriever(model="bundled", memory=memory),
    }
    for number, reward in enumerate(REWARDS):
        made[f"reward {number}"] = ChatLatentSeek(**kept, reward=reward, memory=memory)
    return made


@COPIES
def test_whatever_holds_a_memory_can_be_copied(again: Callable[[Any], Any], tmp_path: Path) -> None:
    made = everything(tmp_path)
    made["memory"].invoke(QUESTION)  # in use or not
    for one in made.values():
        other = again(one)
        if isinstance(one, ChatLatentSeek):
            assert other._identifying_params.keys() == one._identifying_params.keys()
        for held in (other, getattr(other, "chat", None)):
            memory = getattr(held, "memory", None)
            assert memory is None or memory is not made["memory"].memory
    other = again(made["memory"])
    assert other.memory.path == tmp_path / "m.sqlite3"
    details = other.invoke(QUESTION).response_metadata["latent_agent"]
    assert (details["trace_id"], details["warm_start"]["neighbours"]) == (2, [1])
    assert len(made["memory"].memory.list()) == 2


def answer(made: dict[str, Any]) -> dict[str, Any]:
    """Use everything once, in another process."""
    import torch

    torch.set_num_threads(1)
    chats = {name: one for name, one in made.items() if isinstance(one, ChatLatentSeek)}
    unsearched: dict[str, Any] = {"max_iterations": 0}
    messages = {
        name: chat.invoke(QUESTION, **(unsearched if "reward" in name else {}))
        for name, chat in chats.items()
    }
    ids = {
        name: message.response_metadata["latent_agent"]["trace_id"]
        for name, message in messages.items()
    }
    return {
        "ids": [ids[name] for name in ("default", "path", "memory")],
        "llm": made["llm"].invoke(QUESTION),
        "width": len(made["embeddings"].embed_query(QUESTION)),
        "documents": len(made["retriever"].invoke(QUESTION)),
    }


@pytest.mark.slow
def test_a_spawned_process_answers_from_the_same_memory(tmp_path: Path) -> None:
    made = everything(tmp_path)
    memory = made["memory"].memory
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        results = pool.submit(answer, made).result(100)
    assert results["ids"] == [1, 1, 1]
    assert results["llm"]
    assert results["width"] == len(made["embeddings"].embed_query(QUESTION))
    assert results["documents"] == 0  # no text was stored
    stored = memory.list()
    assert {one.shelf.namespace for one in stored} == {"default", "llm"}
    assert all(one.query is None for one in stored)


@pytest.mark.parametrize("nested", [False, True])
def test_a_deep_copy_shares_a_loaded_model(nested: bool) -> None:
    """It is frozen, and too large to be there twice."""
    loaded: dict[str, Any] = {"model": tiny_model("llama"), "tokenizer": tiny_tokenizer()}
    chat = ChatLatentSeek(**loaded, memory=None, embeddings=LatentSeekEmbeddings(**loaded))
    made = (chat, chat.embeddings, TraceRetriever(**loaded), LatentSeekLLM(chat=chat).chat)
    copies = copy.deepcopy(list(made)) if nested else [copy.deepcopy(one) for one in made]
    for one, other in zip(made, copies, strict=True):
        assert other is not one
        assert other.model is one.model
        assert other.tokenizer is one.tokenizer
    assert copies[0].embeddings is not chat.embeddings
    assert copies[0].embeddings.model is chat.model


def test_a_pickle_takes_a_loaded_model_along() -> None:
    chat = ChatLatentSeek(model=tiny_model("llama"), tokenizer=tiny_tokenizer(), memory=None)
    asked: dict[str, Any] = {"max_tokens": 4, "max_iterations": 0}
    other = pickled(chat)
    assert other.model is not chat.model
    assert other.invoke("Hello", **asked).text == chat.invoke("Hello", **asked).text


@pytest.mark.parametrize("error", [CallCancelled(), BudgetSpent("time"), LocationError("a; b")])
@COPIES
def test_an_error_comes_back_from_a_process_as_it_was(
    again: Callable[[Exception], Exception], error: Exception
) -> None:
    other = again(error)
    assert (type(other), str(other), vars(other)) == (type(error), str(error), vars(error))
    assert isinstance(other, LatentAgentError) == isinstance(error, LatentAgentError)
