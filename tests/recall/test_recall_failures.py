"""A memory, an embedder or a prior that fails costs no answer, and the metadata says so."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latent_agent import ChatLatentSeek
from latent_agent.errors import SettingError
from latent_agent.recall.prior_checkpoint import PriorCard, save_prior
from latent_agent.recall.prior_network import LatentPrior, PriorShape
from latent_agent.recall.warm_start import momentum_transfer
from latent_memory import LatentMemory, Neighbour, StoredTrace
from latent_memory.priors.nights import Result, begin_night, end_night
from latent_memory.priors.priors import source_of
from latent_memory.priors.publishing import note_file, publish, reserve
from latent_memory.sqlite import Folder, priors_folder

QUESTION = "Today is Monday. The trip of Tom was 3 days ago. What day was the trip?"


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[LatentMemory]:
    with LatentMemory(tmp_path / "memory.sqlite3") as opened:
        yield opened


def ask(memory: LatentMemory | None, **given: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"model": "bundled", "archive": -1.0, **given}
    message = ChatLatentSeek(memory=memory, **arguments).invoke(QUESTION)
    return {"text": message.text, **message.response_metadata["latent_agent"]}


def kept(memory: LatentMemory, id_: int) -> StoredTrace:
    stored = memory.get(id_)
    assert stored is not None
    return stored


class Embedder:
    """Embeds every question as a function says; one class, so that shelves are shared."""

    def __init__(self, embed: Callable[[str], Any]) -> None:
        self._embed = embed

    def embed_query(self, text: str) -> Any:
        return self._embed(text)


def raises(error: Exception) -> Callable[[str], Any]:
    def embed(text: str) -> Any:
        raise error

    return embed


# ------------------------------------------------------------------------ embedders


@pytest.mark.parametrize(
    ("embed", "reason"),
    [
        (raises(ValueError("no such word")), "ValueError: no such word"),
        (raises(ConnectionError("refused")), "ConnectionError: refused"),
        (raises(KeyError("text")), "KeyError: 'text'"),
        (lambda text: None, "must be finite"),
        (lambda text: "0.5 0.5", "array of numbers"),
        (lambda text: [], "got shape"),
        (lambda text: [[1.0, 2.0]], "got shape"),
        (lambda text: [[1.0], [1.0, 2.0]], "array of numbers"),
        (lambda text: [1.0, math.nan], "must be finite"),
        (lambda text: [10**400], "array of numbers"),
        (lambda text: [1j], "real numbers"),
    ],
)
@pytest.mark.parametrize("mode", ["read-write", "write"])
def test_an_embedder_that_fails_costs_no_answer(
    memory: LatentMemory, embed: Callable[[str], Any], reason: str, mode: Any
) -> None:
    given: dict[str, Any] = {"reward": refuses, "max_iterations": 1}
    broken = ask(memory, embeddings=Embedder(embed), memory_mode=mode, neighbours=0, **given)
    assert reason in broken["memory_error"]
    assert (broken["text"], broken["trace_id"]) == (ask(None, **given)["text"], None)


def refuses(question: str, answer: str) -> float:
    return -0.5


def test_an_embedding_of_another_width_costs_no_answer(memory: LatentMemory) -> None:
    first = ask(memory, embeddings=Embedder(lambda text: [1.0, 2.0, 3.0]))
    assert first["trace_id"] is not None
    wider = ask(memory, embeddings=Embedder(lambda text: [1.0, 2.0, 3.0, 4.0]))
    assert (wider["text"], wider["trace_id"]) == (first["text"], None)
    assert "4" in wider["memory_error"]


# ------------------------------------------------------------------------ priors


@pytest.mark.parametrize("prior", ["abc", "", "1.5", -1, "-1", 10**30, "9" * 5000, True, 1.5, "²"])
def test_what_can_be_no_version_is_refused_at_once(memory: LatentMemory, prior: Any) -> None:
    with pytest.raises(SettingError, match=r"prior must be 'auto', None or a version.*got"):
        ChatLatentSeek(model="bundled", memory=memory, prior=prior)
    chat = ChatLatentSeek(model="bundled", memory=memory)
    with pytest.raises(SettingError, match=r"prior must be 'auto', None or a version.*got"):
        chat.invoke(QUESTION, prior=prior)


def test_a_version_that_there_is_none_of_costs_no_answer(memory: LatentMemory) -> None:
    first = ask(memory)
    for version in ("7", 2**63 - 1):
        unknown = ask(memory, prior=version)
        assert str(version) in unknown["memory_error"]
        assert unknown["warm_start"]["prior"] is None
        assert first["trace_id"] in unknown["warm_start"]["neighbours"]
        assert unknown["trace_id"] is not None


def publish_prior(memory: LatentMemory, **shape: int) -> Path:
    """Publish an untrained prior of given widths on the memory's shelf; return its file."""
    (info,) = memory.shelves()
    shelf, database = info.shelf, memory.database
    source = source_of(database, shelf)
    assert source is not None
    night = begin_night(database, shelf, seed=0, inputs={})
    version = reserve(database, [source], night=night, positions=2)
    sizes = {"positions": 2, "hidden": 4, "embedding": info.dimension, "width": info.width}
    card = PriorCard(
        version=str(version), namespace=shelf.namespace, fingerprint=shelf.fingerprint,
        reward=shelf.reward, first_trace=1, last_trace=1, shape=PriorShape(**(sizes | shape)),
    )  # fmt: skip
    path = priors_folder(memory.path) / f"{version}.safetensors"
    note_file(
        database,
        version,
        path.name,
        save_prior(LatentPrior(card.shape), card, Folder(path.parent), path.name).checksum,
    )
    publish(database, version)
    end_night(database, night, Result(verdict="published", reason="", seconds=0.0))
    return path


@pytest.mark.parametrize("fault", ["cut", "missing", "narrow"])
def test_a_prior_that_cannot_be_used_is_told_of(memory: LatentMemory, fault: str) -> None:
    first = ask(memory)
    path = publish_prior(memory, **({"width": 8} if fault == "narrow" else {}))
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    elif fault == "missing":
        path.unlink()
    with pytest.warns(UserWarning, match="prior 1 is not used"):
        got = ask(memory)
    assert "prior 1 is not used" in got["memory_error"]
    assert got["warm_start"] == {"neighbours": [first["trace_id"]], "prior": None}
    assert (got["text"], got["trace_id"] is None) == (first["text"], False)


def test_a_budget_that_ends_before_the_draft_blames_no_prior(memory: LatentMemory) -> None:
    whole = Embedder(lambda text: [1.0, 2.0, 3.0])
    ask(memory, embeddings=whole)
    publish_prior(memory)
    got = ask(memory, embeddings=whole, max_forwarded_tokens=1)
    assert (got["stopped"], got["text"], got["memory_error"]) == ("tokens", "", None)


# ------------------------------------------------------------------------ metadata of all paths


def test_a_call_that_was_never_judged_tells_what_it_recalled(memory: LatentMemory) -> None:
    first = ask(memory, reward=fails_after(2))
    assert first["trace_id"] is not None
    failed = ask(memory, reward=fails_after(0))
    assert (failed["stopped"], failed["rewards"]) == ("reward_error", [])
    assert failed["warm_start"]["neighbours"] == [first["trace_id"]]
    broken = ask(memory, reward=fails_after(0), embeddings=Embedder(raises(OSError("gone"))))
    assert (broken["stopped"], broken["trace_id"]) == ("reward_error", None)
    assert "OSError: gone" in broken["memory_error"]


class fails_after:  # noqa: N801 - one reward, whatever its count: traces are shelved by its name
    """Scores so many answers -0.5, then raises."""

    def __init__(self, count: int) -> None:
        self._left = count

    def __call__(self, question: str, answer: str) -> float:
        self._left -= 1
        if self._left < 0:
            raise KeyError("lost")
        return -0.5


def test_a_budget_that_leaves_no_judge_tells_what_was_recalled(memory: LatentMemory) -> None:
    first = ask(memory)
    whole = ask(memory, memory_mode="read")["forwarded_tokens"]
    unjudged = ask(memory, max_forwarded_tokens=whole["draft"] + whole["refine"])
    assert (unjudged["rewards"], unjudged["trace_id"]) == ([], None)
    assert unjudged["warm_start"]["neighbours"] == [first["trace_id"]]


# ------------------------------------------------------------------------ what is stored


class Scripted:
    """A reward that gives one score after the other, then its last for ever."""

    def __init__(self, *scores: float) -> None:
        self._scores = list(scores)

    def __call__(self, question: str, answer: str) -> float:
        return self._scores.pop(0) if len(self._scores) > 1 else self._scores[0]


@pytest.fixture
def journey(memory: LatentMemory) -> StoredTrace:
    """A searched trace under the scripted reward, alone in the memory."""
    ids = [ask(memory, reward=Scripted(-0.5))["trace_id"], ask(memory)["trace_id"]]
    refused, searched = (kept(memory, id_).trace for id_ in ids)
    memory.forget(ids=ids)
    assert searched.steps > 0
    return kept(memory, memory.add(replace(searched, shelf=refused.shelf)))


def amplified(trace: StoredTrace) -> bool:
    """Whether a warm start makes the trace's journey longer than it was."""
    near, base = Neighbour(stored=trace, similarity=1.0), torch.from_numpy(trace.trace.base)
    assert np.abs(trace.trace.optimised - trace.trace.base).max() > 0.01
    once, thrice = (momentum_transfer(base, [near], strength=factor) for factor in (1.0, 3.0))
    return not torch.equal(once, thrice)


def test_a_journey_that_was_transferred_is_not_amplified(
    memory: LatentMemory, journey: StoredTrace
) -> None:
    got = ask(memory, reward=Scripted(-0.3, -0.9, -0.8), max_iterations=2)
    assert (got["source"], got["iterations"]) == ("memory", 2)
    stored = kept(memory, got["trace_id"])
    assert stored.trace.steps == 2
    assert stored.trace.neighbours == (journey.id,)
    assert not amplified(stored)


def test_a_journey_that_was_searched_is_amplified(
    memory: LatentMemory, journey: StoredTrace
) -> None:
    assert amplified(journey)
    got = ask(memory, reward=Scripted(-0.9, -0.8, -0.8, -0.1), max_iterations=9)
    assert (got["source"], got["warm_start"]["neighbours"]) == ("search", [journey.id])
    stored = kept(memory, got["trace_id"])
    assert amplified(stored)
    assert stored.trace.neighbours == ()  # what was recalled gave no answer


def test_traces_that_list_all_that_was_recalled_are_read_right(journey: StoredTrace) -> None:
    """As they were stored before they listed only what gave the answer."""
    rewards = ((-0.3,), (-0.9,), (-0.8,), (-0.1,))
    old = replace(journey.trace, neighbours=(1, 2), rewards=rewards, steps=2)
    searched = replace(journey, trace=replace(old, score=-0.1))
    transferred = replace(journey, trace=replace(old, score=-0.3))
    assert (amplified(searched), amplified(transferred)) == (True, False)
