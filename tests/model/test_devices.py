"""A model on another device than the CPU: whatever a call, a night or an embedding does, no
operation gets tensors of both.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from langchain_core.messages import AIMessage
from pydantic import BaseModel
from transformers import PreTrainedModel

from latent_agent import ChatLatentSeek, LatentSeekEmbeddings
from latent_agent.model.budget import Budget
from latent_agent.model.engine import AnswerLimits
from latent_agent.model.registry import open_model
from latent_agent.model.sampling import GREEDY
from latent_agent.model.transformers_engine.engine import TransformersEngine
from latent_agent.model.transformers_engine.kv_sequence import CachedSequence
from latent_agent.nights.gate import GateSettings
from latent_agent.nights.night import consolidate
from latent_agent.nights.training import FitSettings
from latent_agent.reward.judge import JudgeRequest
from latent_agent.reward.self_judge import SelfJudge
from latent_memory import LatentMemory
from tests.support import night_world
from tests.support.engines import complete
from tests.support.second_device import moved, second_device
from tests.support.tiny import tiny_model, tiny_tokenizer

SECONDS = 60
QUESTION, OTHER = "Item 1 is red.", "Item 2 is blue."
SHORT: dict[str, Any] = {"max_tokens": 6, "prefix_tokens": 4, "max_iterations": 2}


here_model = cache(tiny_model)


@cache
def there_model() -> PreTrainedModel:
    return moved(tiny_model())


def grudging(question: str, answer: str) -> float:
    """Accepts nothing, so that a search takes all its steps."""
    return -0.5


def chat_on(model: PreTrainedModel, **given: Any) -> ChatLatentSeek:
    settings: dict[str, Any] = {
        "memory": None,
        "reward": grudging,
        "archive": -1.0,
        **SHORT,
        **given,
    }
    return ChatLatentSeek(model=model, tokenizer=tiny_tokenizer(), **settings)


def told(message: AIMessage) -> Any:
    """What an answer says, and how it came about."""
    return message.text, message.response_metadata["latent_agent"]["iterations"]


class Trip(BaseModel):
    """A trip."""

    day: bool


WAYS: dict[str, dict[str, Any]] = {
    "search": {},
    "fraction": {"prefix_tokens": None, "fraction": 0.5},
    "no longer than the prefix": {"max_tokens": 4},
    "shorter than the prefix": {"max_tokens": 2},
    "budget ends in the draft": {"max_forwarded_tokens": 40},
    "no budget at all": {"max_forwarded_tokens": 1},
    "no time at all": {"timeout": 0.0},
    "sampling": {"temperature": 0.8, "samples": 2, "baseline": "leave-one-out"},
    "nucleus": {"temperature": 0.8, "samples": 2, "top_p": 0.7, "sample_draft": True},
    "flip": {"search": "flip"},
    "margin": {"step": "margin", "rest": "anew"},
    "entropy": {"positions": "entropy", "position_share": 0.5},
    "unjudged": {"max_iterations": 0},
    "judged": {"reward": None, "verdict": "logits"},
    "weighed": {"reward": None, "verdict": "probability"},
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_search_stays_on_the_device(way: str) -> None:
    with second_device():
        there = chat_on(there_model(), **WAYS[way]).invoke(QUESTION)
    assert told(there) == told(chat_on(here_model(), **WAYS[way]).invoke(QUESTION))


def test_half_precision_stays_on_the_device() -> None:
    with second_device():
        chat = chat_on(moved(tiny_model(dtype=torch.bfloat16)), step="margin")
        assert told(chat.invoke(QUESTION))[1] == 2


def test_a_sliding_window_stays_on_the_device() -> None:
    with second_device():
        chat = chat_on(moved(tiny_model("mistral")), reward=None, verdict="logits")
        assert told(chat.invoke(QUESTION))[0]


@pytest.mark.parametrize("longest", [6, 4, 3])
def test_a_memory_warms_a_search_on_the_device(longest: int, tmp_path: Path) -> None:
    with second_device(), LatentMemory(tmp_path / "memory.sqlite3") as memory:
        chat = chat_on(there_model(), memory=memory, momentum=5.0, max_tokens=longest)
        first, second = (
            chat.invoke(text).response_metadata["latent_agent"] for text in (QUESTION, OTHER)
        )
    assert second["warm_start"]["neighbours"] == [first["trace_id"]]
    assert second["memory_error"] is None


@pytest.mark.parametrize("budget", range(6))
def test_a_budget_may_end_anywhere_on_the_device(budget: int, tmp_path: Path) -> None:
    with LatentMemory(tmp_path / "memory.sqlite3") as memory:
        given: dict[str, Any] = {"memory": memory, "archive": -1.0}
        usage = chat_on(here_model(), **given).invoke(QUESTION).usage_metadata
        assert usage is not None
        given |= {"memory_mode": "read", "max_forwarded_tokens": usage["input_tokens"] + budget}
        here = chat_on(here_model(), **given).invoke(QUESTION)
        with second_device():
            there = chat_on(there_model(), **given).invoke(QUESTION)
    assert told(there) == told(here)


def test_structured_output_stays_on_the_device() -> None:
    with second_device():
        chat = chat_on(there_model(), max_tokens=30, max_iterations=1)
        assert isinstance(chat.with_structured_output(Trip).invoke(QUESTION), Trip)


def test_embeddings_stay_on_the_device() -> None:
    texts = [QUESTION, "apples", f"{QUESTION} {OTHER}"]
    here = LatentSeekEmbeddings(model=here_model(), tokenizer=tiny_tokenizer())
    with second_device():
        there = LatentSeekEmbeddings(model=there_model(), tokenizer=tiny_tokenizer())
        made = there.embed_documents(texts)
    for ours, theirs in zip(made, here.embed_documents(texts), strict=True):
        assert ours == pytest.approx(theirs, abs=1e-5)


def drafted(engine: TransformersEngine, on_token: Callable[[int], None] = lambda _: None) -> Any:
    return complete(CachedSequence(engine, Budget()), [5, 6, 7], (),
        limits=AnswerLimits(max_tokens=8), sampler=GREEDY, stage="draft", on_token=on_token,
    ).tokens  # fmt: skip


def judged(engine: TransformersEngine) -> list[str]:
    requests = [JudgeRequest(prompt=text, max_tokens=5) for text in ("Right?", "Is it so?")]
    return SelfJudge(engine, Budget()).ask(requests)


def test_a_draft_beside_a_judge_shares_passes_on_the_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    here = TransformersEngine(here_model(), tiny_tokenizer())
    with second_device():
        there = TransformersEngine(there_model(), tiny_tokenizer())
    here.stop_ids = there.stop_ids = frozenset()
    states, rows = TransformersEngine.states, []

    def seen(self: TransformersEngine, ids: torch.Tensor, *args: Any) -> torch.Tensor:
        rows.append(ids.shape[0])
        return states(self, ids, *args)

    monkeypatch.setattr(TransformersEngine, "states", seen)
    alone = drafted(here), judged(here)
    assert max(rows) == 2

    def wait(_: int) -> None:
        """Go on once the judge decodes too."""
        until = time.monotonic() + SECONDS
        while len(there.scheduler._groups) < 2 and max(rows) < 3 and time.monotonic() < until:
            time.sleep(0.001)

    def on_device(work: Callable[[], Any]) -> Any:
        with second_device():
            return work()

    with ThreadPoolExecutor(2) as threads:
        draft = threads.submit(on_device, lambda: drafted(there, wait))
        judge = threads.submit(on_device, lambda: judged(there))
        assert (draft.result(SECONDS), judge.result(SECONDS)) == alone
    assert max(rows) == 3


def test_a_night_trains_on_the_device(tmp_path: Path) -> None:
    settings = replace(
        night_world.SETTINGS,
        fit=FitSettings(epochs=2, batch=12, learning_rate=5e-3),
        gate=GateSettings(calls=2),
    )
    with second_device(), LatentMemory(tmp_path / "memory.sqlite3") as memory:
        shelf = night_world.day(memory, 40)
        job = night_world.job(memory, shelf, settings=settings)
        report = consolidate(replace(job, model=open_model(there_model(), tiny_tokenizer())))
    assert report.figures["best_loss"] < report.figures["losses"][0]


def test_an_answer_that_no_budget_pays_for_has_latents_of_the_models_width() -> None:
    engine = TransformersEngine(here_model(), tiny_tokenizer())
    spent = complete(CachedSequence(engine, Budget(max_tokens=1)), [5, 6, 7], (),
        limits=AnswerLimits(max_tokens=8), sampler=GREEDY, stage="draft",
    )  # fmt: skip
    assert (spent.finish, spent.latents.shape) == ("tokens", (0, engine.width))
