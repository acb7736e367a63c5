"""A cache in front of all language models: unless it is asked for, every question is still learned.

What comes out of LangChain's cache is neither judged, nor searched, nor stored.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.runnables import ConfigurableField

from latent_agent import ChatLatentSeek, LatentSeekLLM
from latent_agent.teaching import questions
from latent_memory import LatentMemory

TEXT = questions("test", n=1, seed=7)[0].text


class CountingCache(InMemoryCache):
    """An in-memory cache that counts look-ups and updates."""

    def __init__(self) -> None:
        super().__init__()
        self.looked, self.stored = 0, 0

    def lookup(self, prompt: str, llm_string: str) -> Any:
        self.looked += 1
        return super().lookup(prompt, llm_string)

    def update(self, prompt: str, llm_string: str, return_val: Any) -> None:
        self.stored += 1
        super().update(prompt, llm_string, return_val)


@pytest.fixture
def cache() -> Iterator[CountingCache]:
    """The cache of the whole process, for the time of a test."""
    made = CountingCache()
    set_llm_cache(made)
    yield made
    set_llm_cache(None)


def asked_twice(memory: LatentMemory, way: str, **given: Any) -> list[Any]:
    made: type[Any] = LatentSeekLLM if way == "text" else ChatLatentSeek
    model = made(model="bundled", memory=memory, reward=lambda _q, _a: -0.1, **given)
    if way == "stream":
        return [[*model.stream(TEXT)][-1] for _ in range(2)]
    return [model.invoke(TEXT) for _ in range(2)]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "memory.sqlite3") as opened:
        yield opened


@pytest.mark.parametrize("way", ["chat", "stream", "text"])
def test_by_default_the_memory_learns_all_the_same(
    cache: CountingCache, memory: LatentMemory, way: str
) -> None:
    asked_twice(memory, way)
    assert len(memory.list()) == 2
    assert (cache.looked, cache.stored) == (0, 0)


async def test_by_default_the_memory_learns_later_too(
    cache: CountingCache, memory: LatentMemory
) -> None:
    chat = ChatLatentSeek(model="bundled", memory=memory, reward=lambda _q, _a: -0.1)
    first, second = await chat.ainvoke(TEXT), await chat.ainvoke(TEXT)
    ids = [one.response_metadata["latent_agent"]["trace_id"] for one in (first, second)]
    assert ids[0] < ids[1]
    assert (cache.looked, cache.stored) == (0, 0)


@pytest.mark.parametrize("way", ["chat", "text"])
@pytest.mark.parametrize("asked_for", [True, "own"])
def test_a_cache_that_is_asked_for_answers_in_our_place(
    cache: CountingCache, memory: LatentMemory, way: str, asked_for: Any
) -> None:
    wanted: BaseCache | bool = cache if asked_for == "own" else True
    first, second = asked_twice(memory, way, cache=wanted)
    assert getattr(first, "text", first) == getattr(second, "text", second)
    assert len(memory.list()) == 1
    assert cache.stored == 1


@pytest.mark.parametrize("made", [ChatLatentSeek, LatentSeekLLM])
def test_namespaces_never_share_a_cached_answer(
    cache: CountingCache, memory: LatentMemory, made: Any
) -> None:
    model = made(model="bundled", memory=memory, reward=lambda _q, _a: -0.1, cache=True)
    for name in ("ann", "bob", "ann"):
        model.invoke(TEXT, {"configurable": {"namespace": name}})
    assert [len(memory.list(namespace=name)) for name in ("ann", "bob")] == [1, 1]
    assert cache.stored == 2


def test_a_copy_of_a_text_model_keeps_its_cache(cache: CountingCache) -> None:
    llm = LatentSeekLLM(model="bundled", memory=None, max_iterations=0, cache=True)
    tunable = llm.configurable_fields(tags=ConfigurableField(id="tags"))
    for tags in (["one"], ["two"]):
        tunable.invoke(TEXT, {"configurable": {"tags": tags}})
    assert (cache.looked, cache.stored) == (2, 1)
