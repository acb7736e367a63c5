"""TraceRetriever: what was asked and answered before, as documents."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.runnables import RunnableLambda

from latent_agent import ChatLatentSeek, TraceRetriever
from latent_agent.errors import ModelError, SettingError
from latent_agent.teaching import questions
from latent_memory import LatentMemory, LocationError, TraceError
from tests.support.tiny import tiny_model, tiny_tokenizer

ASKED = [question.text for question in questions("test", n=6, seed=7)]


def good(question: str, answer: str) -> float:
    return -0.1


def fair(question: str, answer: str) -> float:
    return -0.15


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "memory.sqlite3") as opened:
        yield opened


def chat_of(memory: object, **given: Any) -> ChatLatentSeek:
    arguments: dict[str, Any] = {"model": "bundled", "memory": memory, "reward": good, **given}
    return ChatLatentSeek(**arguments)


def retriever(memory: object, **given: Any) -> TraceRetriever:
    arguments: dict[str, Any] = {"model": "bundled", "memory": memory, **given}
    return TraceRetriever(**arguments)


def test_a_document_holds_question_and_answer(memory: LatentMemory) -> None:
    answers = {text: chat_of(memory).invoke(text).text for text in ASKED}
    documents = retriever(memory).invoke(ASKED[2])
    assert len(documents) == 4
    assert documents[0].page_content == f"{ASKED[2]}\n\n{answers[ASKED[2]]}"
    metadata = dict(documents[0].metadata)
    assert documents[0].id == str(metadata["trace_id"])
    assert memory.get(metadata.pop("trace_id")) is not None
    assert datetime.fromisoformat(metadata.pop("created")).tzinfo is not None
    assert metadata.pop("similarity") == pytest.approx(1.0, abs=1e-3)
    assert metadata.pop("reward") == pytest.approx(-0.1)
    assert metadata == {"namespace": "default", "answer": answers[ASKED[2]]}
    similarities = [document.metadata["similarity"] for document in documents]
    assert similarities == sorted(similarities, reverse=True)


def test_namespaces_are_kept_apart(memory: LatentMemory) -> None:
    for name, text in (("ann", ASKED[0]), ("bob", ASKED[1])):
        chat_of(memory, namespace=name).invoke(text)
    documents = retriever(memory, namespace="ann").invoke(ASKED[1])
    assert [one.metadata["namespace"] for one in documents] == ["ann"]
    assert documents[0].page_content.startswith(ASKED[0])
    config: Any = {"configurable": {"namespace": "bob"}}
    documents = retriever(memory, namespace="ann").invoke(ASKED[1], config)
    assert [one.page_content.partition("\n\n")[0] for one in documents] == [ASKED[1]]
    assert retriever(memory).invoke(ASKED[0]) == []


async def test_a_calls_config_reaches_it_in_chains_batches_and_later(
    memory: LatentMemory,
) -> None:
    for name in ("ann", "bob"):
        chat_of(memory, namespace=name).invoke(ASKED[0])
    configs: Any = [{"configurable": {"namespace": name}} for name in ("ann", "bob")]
    chain = RunnableLambda(lambda question: f"{question}") | retriever(memory)
    for documents in (
        chain.batch([ASKED[0]] * 2, configs),
        await chain.abatch([ASKED[0]] * 2, configs),
        [await retriever(memory).ainvoke(ASKED[0], config, k=1) for config in configs],
    ):
        assert [[one.metadata["namespace"] for one in each] for each in documents] == [
            ["ann"],
            ["bob"],
        ]


@pytest.mark.parametrize("namespace", [None, 3, "", ["ann"]])
def test_a_namespace_that_is_none_never_falls_back(memory: LatentMemory, namespace: Any) -> None:
    chat_of(memory).invoke(ASKED[0])
    with pytest.raises(TraceError, match=r"namespace must be a text.*got"):
        retriever(memory).invoke(ASKED[0], {"configurable": {"namespace": namespace}})


def test_all_rewards_are_found_and_the_nearest_come_first(memory: LatentMemory) -> None:
    for reward in (good, fair):
        for text in ASKED[:2]:
            chat_of(memory, reward=reward).invoke(text)
    documents = retriever(memory, k=2).invoke(ASKED[1])
    assert {one.page_content.partition("\n\n")[0] for one in documents} == {ASKED[1]}
    assert sorted(one.metadata["reward"] for one in documents) == pytest.approx([-0.15, -0.1])


def test_another_models_answers_are_not_found(memory: LatentMemory) -> None:
    chat_of(memory).invoke(ASKED[0])
    other = {"model": tiny_model(), "tokenizer": tiny_tokenizer()}
    assert retriever(memory, **other).invoke(ASKED[0]) == []


def test_with_embeddings_of_ones_choice(memory: LatentMemory) -> None:
    fake = DeterministicFakeEmbedding(size=12)
    chat = chat_of(memory, embeddings=fake)
    for text in ASKED[:3]:
        chat.invoke(text)
    documents = retriever(memory, embeddings=fake, k=1).invoke(ASKED[1])
    assert documents[0].page_content.startswith(ASKED[1])
    assert retriever(memory).invoke(ASKED[1]) == []


def test_traces_without_texts_make_no_documents(tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "silent.sqlite3", store_text=False) as memory:
        assert chat_of(memory).invoke(ASKED[0]).response_metadata["latent_agent"]["trace_id"]
        assert retriever(memory).invoke(ASKED[0]) == []


def test_by_default_it_looks_where_the_chat_model_remembers(home: Path) -> None:
    ChatLatentSeek(model="bundled", reward=good).invoke(ASKED[0])
    assert len(TraceRetriever(model="bundled").invoke(ASKED[0])) == 1


def test_reading_only_leaves_the_disk_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(LocationError, match="there is none"):
        retriever(tmp_path / "memory.sqlite3", memory_mode="read").invoke(ASKED[0])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("k", [0, -1, 1.5, True, None, "2"])
def test_k_must_be_a_number_of_documents(memory: LatentMemory, k: Any) -> None:
    with pytest.raises(SettingError, match=rf"k must be a whole number, got {k!r}; give 1"):
        retriever(memory).invoke(ASKED[0], k=k)
    with pytest.raises((SettingError, ValueError), match="k"):
        retriever(memory, k=k)


def test_what_cannot_be_searched_is_refused_at_once() -> None:
    with pytest.raises(SettingError, match=r"needs a memory, got memory=None; for example"):
        retriever(None)
    with pytest.raises(ModelError, match="bundled"):
        TraceRetriever(model=3)
    with pytest.raises(SettingError, match=r"memory must be .*got 3;"):
        retriever(3).invoke(ASKED[0])
