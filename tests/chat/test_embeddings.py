"""LatentSeekEmbeddings: the vectors that a memory recalls by, for any vector store."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.vectorstores import InMemoryVectorStore
from transformers import PreTrainedConfig

from latent_agent import ChatLatentSeek, LatentSeekEmbeddings
from latent_agent.errors import ModelError, PromptError, SettingError
from latent_agent.model.registry import open_model
from latent_agent.model.transformers_engine.engine import EMBEDDED_AT_ONCE
from latent_agent.teaching import questions
from latent_memory import LatentMemory
from tests.support.engines import transformers_engine
from tests.support.tiny import CONFIGS, WINDOW, tiny_model, tiny_tokenizer

TEXTS = [question.text for question in questions("test", n=EMBEDDED_AT_ONCE + 9, seed=3)]


@pytest.fixture(scope="module")
def embeddings() -> LatentSeekEmbeddings:
    return LatentSeekEmbeddings(model="bundled")


def test_a_question_has_the_vector_that_the_memory_holds(
    embeddings: LatentSeekEmbeddings, tmp_path: Path
) -> None:
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        chat = ChatLatentSeek(model="bundled", memory=memory, reward=lambda _q, _a: -0.1)
        message = chat.invoke(TEXTS[0])
        stored = memory.get(message.response_metadata["latent_agent"]["trace_id"])
    assert stored is not None
    assert embeddings.embed_query(TEXTS[0]) == pytest.approx(stored.trace.embedding, abs=1e-6)


def test_many_at_once_are_as_one_by_one(embeddings: LatentSeekEmbeddings) -> None:
    texts = [*TEXTS, "", "apples", TEXTS[0]]
    at_once = embeddings.embed_documents(texts)
    one_by_one = [embeddings.embed_query(text) for text in texts]
    assert np.allclose(at_once, one_by_one, atol=1e-5)
    assert len({tuple(row) for row in one_by_one}) == len(texts) - 1
    assert embeddings.embed_documents([]) == []


@pytest.mark.parametrize("name", CONFIGS)
def test_what_fills_a_row_up_is_not_seen(name: str) -> None:
    tiny = LatentSeekEmbeddings(model=tiny_model(name), tokenizer=tiny_tokenizer())
    texts = ["coins", TEXTS[0], TEXTS[0] + " " + TEXTS[1]]
    one_by_one = [tiny.embed_query(text) for text in texts]
    assert np.allclose(tiny.embed_documents(texts), one_by_one, atol=1e-4)


def test_texts_are_not_read_while_a_call_uses_the_model(embeddings: LatentSeekEmbeddings) -> None:
    scheduler = transformers_engine(open_model("bundled")).scheduler
    with ThreadPoolExecutor(1) as threads:
        with scheduler.alone():
            made = threads.submit(embeddings.embed_query, "apples")
            while not (made.done() or scheduler._exclusive_waiters):
                time.sleep(0.001)
            assert not made.done()
        assert made.result(60) == embeddings.embed_query("apples")


async def test_later(embeddings: LatentSeekEmbeddings) -> None:
    assert await embeddings.aembed_query(TEXTS[0]) == embeddings.embed_query(TEXTS[0])


def test_a_vector_store_finds_questions_of_the_same_family(
    embeddings: LatentSeekEmbeddings,
) -> None:
    store = InMemoryVectorStore(embeddings)
    past = questions("train", n=70, seed=0)
    store.add_texts([one.text for one in past], [{"family": one.family} for one in past])
    new = questions("validation", n=28, seed=0)
    found = [store.similarity_search(one.text, k=1)[0].metadata["family"] for one in new]
    same = sum(family == one.family for family, one in zip(found, new, strict=True))
    assert same >= len(new) // 2  # by chance: one in seven


def test_the_weights_are_shared_with_the_chat_model(embeddings: LatentSeekEmbeddings) -> None:
    engine = open_model("bundled").engine()
    embeddings.embed_query("apples")
    ChatLatentSeek(model="bundled", memory=None).invoke("apples", max_tokens=1)
    assert open_model(embeddings.model, embeddings.tokenizer).engine() is engine


def test_building_reads_no_weights(tmp_path: Path) -> None:
    config: PreTrainedConfig = CONFIGS["llama"]()
    config.architectures = ["LlamaForCausalLM"]
    config.save_pretrained(tmp_path)
    tiny_tokenizer().save_pretrained(tmp_path)
    bare = LatentSeekEmbeddings(model=str(tmp_path))
    with pytest.raises(PromptError, match=rf"window of {WINDOW} tokens, got \d{{3,}} .*split"):
        bare.embed_query("apples " * WINDOW)
    with pytest.raises(ModelError, match=r"weights of .* must be readable"):
        bare.embed_query("apples")


@pytest.mark.parametrize("text", [None, 3, b"apples"])
def test_only_texts_are_embedded(embeddings: LatentSeekEmbeddings, text: Any) -> None:
    with pytest.raises(SettingError, match=rf"must be text, got {text!r}; give"):
        embeddings.embed_documents(["apples", text])


def test_what_names_no_model_is_refused_at_once() -> None:
    with pytest.raises(ModelError, match=r"got int; .*bundled"):
        LatentSeekEmbeddings(model=3)
    with pytest.raises(ModelError, match=r"dtype.*float33"):
        LatentSeekEmbeddings(model="bundled", dtype="float33")
    unknown: dict[str, Any] = {"model": "bundled", "modle": "bundled"}
    with pytest.raises(ValueError, match="modle"):
        LatentSeekEmbeddings(**unknown)
